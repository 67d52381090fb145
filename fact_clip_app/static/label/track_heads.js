/* The heads of the rows of the timeline: what a track is called, whose it is, and whether it is shown, locked and complete. */

import {html} from "../vendor/preact-htm.js";
import {Icon, IconButton} from "../common/controls.js";
import {chooseTrack, currentTrack, fault, state, update} from "../common/state.js";

export const HEAD_WIDTH = 150; // pixels, as in style.css

export function TrackHeads({video}) {
	return html`<ul id="track-heads" aria-label="Tracks">
		${video.tracks.map((track) => html`<${Head} key=${track.id} track=${track} />`)}
		${video.drafts.length > 0 && html`<li><span class="head-name" title="What the model predicts; the line is its confidence">prediction</span></li>`}
	</ul>`;
}

function Head({track}) {
	const {id, name, annotator, complete} = track;
	const owner = annotator && annotator !== name ? `, of ${annotator}` : "";
	const isCurrent = currentTrack().id === id;
	return html`<li class=${state.hidden.includes(id) ? "is-hidden" : ""}>
		<button type="button" class="head-name" aria-pressed=${String(isCurrent)} title=${`Label on ${name}${owner}`}
			onClick=${() => chooseTrack(id)}>${name}<small>${owner.slice(2)}</small></button>
		${complete && html`<span class="done" title="Fully labelled"><${Icon} name="check" /><span class="unseen">Fully labelled</span></span>`}
		<${Sign} of="hidden" id=${id} on="eye-off" off="eye" title=${state.hidden.includes(id) ? `Show ${name}` : `Hide ${name}`} />
		<${Sign} of="locked" id=${id} on="lock" off="lock-open" title=${state.locked.includes(id) ? `Unlock ${name}` : `Lock ${name}`} />
	</li>`;
}

/** A sign that puts a track on a list of the state, or takes it off. */
function Sign({of, id, on, off, title}) {
	const isOn = state[of].includes(id);
	const turn = () => {
		if (state.recording?.trackId === id) return fault("A segment is being recorded on this track. O ends it, Esc drops it.");
		update({[of]: isOn ? state[of].filter((one) => one !== id) : [...state[of], id]});
	};
	return html`<${IconButton} icon=${isOn ? on : off} title=${title} aria-pressed=${String(isOn)} onClick=${turn} />`;
}
