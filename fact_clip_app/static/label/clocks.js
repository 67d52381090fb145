/* Times that change while a video plays: the cursor, and the recorded segment. */

import {html, useEffect, useState} from "../vendor/preact-htm.js";
import {state} from "../common/state.js";
import * as player from "./player.js";

const {Timeline} = globalThis;

/** Draw a component again and again, because the cursor moves by itself. */
export function useTicks() {
	const [, draw] = useState(0);
	useEffect(() => {
		const timer = setInterval(() => draw((count) => count + 1), 100);
		return () => clearInterval(timer);
	}, []);
}

/** What is recorded, and how long it lasts. */
export function Chip({recording}) {
	useTicks();
	const {times} = state.video;
	const seconds = Math.abs(times[player.here()] - times[recording.start]);
	const colour = state.project.colours[recording.label]?.colour;
	return html`<p id="chip" role="status"><span class="dot" style=${colour ? {background: colour} : {}}></span>
		${recording.label ?? `${recording.pen}?`} <output>${Timeline.clock(seconds, 0).padStart(4, "0:0")}</output></p>`;
}

export function Clock() {
	useTicks();
	const {video} = state;
	if (!video) return null;
	const frame = player.here();
	return html`<output id="time">${Timeline.clock(video.times[frame], 3)} s · frame ${frame} · speed ${player.speed()}</output>`;
}
