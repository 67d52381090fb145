/* The page: three panels, keys, and what lies over them. Names and files of people are shown as text alone. */

import {html, render, useEffect, useState} from "./vendor/preact-htm.js";
import {Field} from "./controls.js";
import {confirm, Question, Toast} from "./dialogs.js";
import {afterSteps, discardRefused, redo, repeatRefused, undo} from "./edits.js";
import {acceptDrops} from "./files.js";
import {Help} from "./help.js";
import {actionOf, commandOf, learnLayout} from "./keys.js";
import {LabelPanel} from "./label_panel.js";
import * as labelling from "./labelling.js";
import * as player from "./player.js";
import {ResultsPanel} from "./results_panel.js";
import {tried} from "./requests.js";
import {begin, changeSettings, listUncertainSoon, refresh, reopen, showPanel} from "./session.js";
import {fault, setAnnotator, state, subscribe} from "./state.js";
import {TeachPanel} from "./teach_panel.js";

const PANELS = {label: ["Label", LabelPanel], teach: ["Teach", TeachPanel], results: ["Results", ResultsPanel]};

function Page() {
	const [, draw] = useState(0);
	useEffect(() => subscribe(() => draw((count) => count + 1)), []);
	if (!state.project) return html`<p class="alone">Loading …</p>`;
	const [, Panel] = PANELS[state.panel];
	const isLabelling = state.panel === "label";
	return html`
		<a id="skip" href="#timeline" onClick=${skip}>Skip to the timeline</a>
		<${Header} />
		<${LabelPanel} isHidden=${!isLabelling} />
		${!isLabelling && html`<${Panel} />`}
		<${Toast} />
		<${Question} />
		<${Help} />`;
}

function skip(event) {
	event.preventDefault();
	if (state.video && state.panel === "label") player.focusTimeline();
	else document.querySelector("main").focus();
}

function Header() {
	const {project} = state;
	return html`<header>
		<h1>FACT-CLIP <span id="project" title=${project.project.folder}>${project.project.name}</span></h1>
		<nav aria-label="Panels">${Object.entries(PANELS).map(([id, [title]]) => html`<button type="button" key=${id} id=${`to-${id}`}
			aria-current=${state.panel === id ? "page" : "false"} onClick=${() => showPanel(id)}>${title}</button>`)}</nav>
		<p id="note" role="status">${stored()}</p>
		<${Field} label="Your name" id="annotator" maxlength="80" value=${state.annotator} onChange=${(name) => rename(name.trim())} />
		<button type="button" id="blind" aria-pressed=${String(project.project.blind)} onClick=${() => tried(askBlind)}
			title="Everybody sees their own tracks alone">${project.project.blind ? "Blind: on" : "Blind …"}</button>
	</header>`;
}

function rename(name) {
	setAnnotator(name);
	tried(async () => {
		await refresh();
		await reopen();
	});
	listUncertainSoon(); // in a blind project, each person has a list
}

/** Switch Blind on, or off again, behind a question. */
async function askBlind() {
	const {blind, blind_owner: owner} = state.project.project;
	const {annotator} = state;
	if (!annotator) return fault("Type your name first. Blind belongs to the person who switches it on.");
	if (blind && owner && owner !== annotator) return fault(`${owner} has switched Blind on. Only ${owner} can open the project.`);
	const text = blind ? "Open the project? Everybody sees the labels of all people then, and can compare them."
		: `Switch Blind on? It is yours, ${annotator}, and only you can open the project again. Until then everybody, you too, sees
			their own tracks alone, in the timeline, counts, results and files. A track without an owner goes to the person who made
			its labels; one with labels of several people, or without names, is hidden from all.`;
	if (!await confirm(text, blind ? "Open the project" : "Switch Blind on")) return;
	await changeSettings({blind: !blind});
	await reopen();
}

function stored() {
	if (!state.isConnected) return "The server does not answer. It is asked again.";
	if (state.unsent) return `Storing ${state.unsent} change${state.unsent === 1 ? "" : "s"} …`;
	const count = state.refused.filter(({video}) => video === state.video?.id).length;
	if (count) {
		return html`${count} change${count === 1 ? " was" : "s were"} refused.
			<button type="button" onClick=${repeatRefused}>Apply again</button>
			<button type="button" onClick=${discardRefused}>Discard</button>`;
	}
	return "All changes are stored.";
}

// --- keys --------------------------------------------------------------------------------------

const ONCE = ["mark", "end", "instant", "clicks", "play"]; // held down, these keys do no more than pressed
const TYPING = "textarea, select, dialog, input:not([type=checkbox], [type=range], [type=file])";

function press(event) {
	if (event.target.closest(TYPING) || event.altKey || event.isComposing) return;
	if (event.ctrlKey || event.metaKey) return pressControl(event);
	const isButton = event.target.closest("button, summary, a, input");
	if (isButton && (event.code === "Space" || event.key === "Enter")) return; // it is pressed
	if (isButton && /^Arrow|^Home$|^End$/.test(event.key)) return;
	if (event.key === "Escape" && player.timeline?.cancelDrag()) return;
	const action = state.video && state.panel === "label" ? actionOf(event) : undefined;
	const command = commandOf(event);
	if (command?.id === "help") command.run();
	else if (!state.video || state.panel !== "label") return;
	else if (action) onCursor((cursor) => labelling.pressClass(action.name, cursor), event);
	else if (command) onCursor(command.run, event);
	else return;
	event.preventDefault();
	event.stopPropagation(); // the timeline need not hear it again
}

/** Run what a key does, with the cursor as it was when the key was pressed: an undo may have to end first. */
function onCursor(run, event) {
	const cursor = player.cursor();
	const isHeld = event.repeat && (actionOf(event) || ONCE.includes(commandOf(event).id));
	if (!isHeld) afterSteps(() => run(cursor));
}

function pressControl(event) {
	if (!["z", "y"].includes(event.key.toLowerCase()) || !state.video) return;
	const isRedo = event.shiftKey || event.key.toLowerCase() === "y";
	if (isRedo) redo();
	else undo();
	event.preventDefault();
}

/** Take the focus from a button that the mouse pressed, so that Space plays and does not press it again. */
function leaveButton({target, detail}) {
	if (detail) target.closest("button:not(dialog button)")?.blur();
}

document.addEventListener("keydown", press, true);
document.addEventListener("click", leaveButton);
acceptDrops();
render(html`<${Page} />`, document.getElementById("page"));
await tried(begin);
await learnLayout();
