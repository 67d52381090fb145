/* Times that change while a film plays: of the cursor, and of what is recorded. */

import {html} from "./vendor/preact-htm.js";
import * as player from "./player.js";
import {state} from "./state.js";

const {Timeline} = globalThis;

/** What is recorded, and how long it lasts. */
export function Chip({recording}) {
	player.useTicks();
	const {times} = state.video;
	const seconds = Math.abs(times[player.here()] - times[recording.start]);
	const colour = state.project.colours[recording.label]?.colour;
	return html`<p id="chip" role="status"><span class="dot" style=${colour ? {background: colour} : {}}></span>
		${recording.label ?? `${recording.pen}?`} <output>${Timeline.clock(seconds, 0).padStart(4, "0:0")}</output></p>`;
}

export function Clock() {
	player.useTicks();
	const {video} = state;
	if (!video) return null;
	const frame = player.here();
	return html`<output id="time">${Timeline.clock(video.times[frame], 3)} s · frame ${frame} · speed ${player.speed()}</output>`;
}
