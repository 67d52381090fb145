/* What an empty project shows: how to begin, and the work in five drawings. */

import {html} from "../vendor/preact-htm.js";
import {accept} from "../common/project.js";
import {ask, tried, viewQuery} from "../common/requests.js";
import {say, state, update} from "../common/state.js";
import {DropZone} from "./files.js";
import {open} from "./open_video.js";

// The classes of the drawings (line, accent, on-accent, done, draft, curve) are in style.css.
const STEPS = [
	["Add videos", "Drop videos of any format. They stay on this computer.", html`
		<rect class="line" x="24" y="16" width="48" height="32" rx="3" />
		<path class="line" d="M30 10h36M42 25l14 7-14 7z" />
		<circle class="accent" cx="72" cy="16" r="9" /><path class="on-accent" d="M72 12v8M68 16h8" />`],
	["Label by keys", "Press the key of a class where its action begins, and again where it ends. You can also drag on the timeline.", html`
		<rect class="line" x="25" y="8" width="20" height="18" rx="3" /><text x="35" y="21">1</text>
		<rect class="line" x="51" y="8" width="20" height="18" rx="3" /><text x="61" y="21">2</text>
		<rect class="accent" x="10" y="34" width="36" height="14" rx="2" /><rect class="done" x="48" y="34" width="24" height="14" rx="2" />
		<path class="line" d="M72 30v22" /><path class="draft" d="M76 41h12" />`],
	["Teach", "Train a model on your labels. It takes minutes.", html`
		<path class="line" d="M14 8v40h70" /><path class="curve" d="M20 42C32 22 48 16 80 13" />
		<circle class="accent" cx="30" cy="29" r="3.5" /><circle class="accent" cx="52" cy="17.5" r="3.5" />`],
	["Correct", "It drafts the other videos. Enter accepts a draft, and any change makes it yours.", html`
		<path class="draft" d="M9 22h42v16H9z" /><path class="line" d="M14 38l12-16M24 38l12-16M34 38l12-16" />
		<rect class="done" x="56" y="22" width="32" height="16" rx="2" /><path class="on-accent" d="M66 30l4 4 8-8" />`],
	["Export", "Save files for ELAN, BORIS and other tools, time budgets, and the agreement between people.", html`
		<path class="line" d="M22 8h26l10 10v30H22zM48 8v10h10M30 26h18M30 33h18M30 40h12" />
		<path class="curve" d="M62 34h20M75 27l7 7-7 7" />`],
];

export function EmptyProject() {
	return html`<div id="empty">
		<${DropZone} id="first-files" isLarge title="Choose videos …"
			hint="Drop videos, feature files or label files here. They are copied into this project and stay on this computer.">
			<button type="button" id="example" onClick=${() => tried(openExample)}>Open an example</button>
		<//>
		<ol id="steps">${STEPS.map(([title, sentence, picture]) => html`<li key=${title}>
			<svg viewBox="0 0 96 56" aria-hidden="true">${picture}</svg>
			<p><strong>${title}.</strong> ${sentence}</p></li>`)}</ol>
	</div>`;
}

/** Fill the project with example videos, and open the first one. */
async function openExample() {
	update({progress: "Drawing three videos …"});
	try {
		accept(await ask(`/api/example${viewQuery()}`, "POST"));
	} finally {
		update({progress: ""});
	}
	await open(state.project.videos[0].id);
	say("These videos are SYNTHETIC. Press Space to play, and the keys of the classes to label.");
}
