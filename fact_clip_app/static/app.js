/* The page: three panels, and what lies over them. Names and files of people are only shown as text. */

import {html, render, useEffect, useState} from "./vendor/preact-htm.js";
import {Clips} from "./label/clips.js";
import {acceptDrops} from "./label/files.js";
import {Groups} from "./label/groups.js";
import {Help} from "./label/help.js";
import {pressKey} from "./label/keyboard.js";
import {learnLayout} from "./label/keys.js";
import {LabelPanel} from "./label/label_panel.js";
import {open, reopen} from "./label/open_video.js";
import * as player from "./label/player.js";
import {listUncertain, listUncertainSoon} from "./label/what_next.js";
import {ResultsPanel} from "./results/results_panel.js";
import {Field, Icon} from "./common/controls.js";
import {confirm, Question, Toast} from "./common/dialogs.js";
import {discardRefused, repeatRefused} from "./common/edits.js";
import {catchUp, changeSettings, refresh} from "./common/project.js";
import {listen, tried} from "./common/requests.js";
import {fault, setAnnotator, showPanel, state, subscribe, update} from "./common/state.js";
import {TeachPanel} from "./teach/teach_panel.js";

const PANELS = {label: ["Label", LabelPanel], teach: ["Teach", TeachPanel], results: ["Results", ResultsPanel]};

function Page() {
	const [, draw] = useState(0);
	useEffect(() => subscribe(() => draw((count) => count + 1)), []);
	if (!state.project) return html`<p class="alone">Loading …</p>`;
	const [, Panel] = PANELS[state.panel];
	const isLabelling = state.panel === "label";
	return html`
		<${Skip} />
		<${Header} />
		<${LabelPanel} isHidden=${!isLabelling} />
		${!isLabelling && html`<${Panel} />`}
		<${Toast} />
		<${Clips} />
		<${Groups} />
		<${Question} />
		<${Help} />`;
}

function Skip() {
	const hasTimeline = state.video && state.panel === "label";
	const panel = state.panel === "label" ? "work" : `${state.panel}-panel`;
	const skip = (event) => {
		event.preventDefault();
		if (hasTimeline) player.focusTimeline();
		else document.getElementById(panel).focus();
	};
	return html`<a id="skip" href=${`#${hasTimeline ? "timeline" : panel}`} onClick=${skip}>
		Skip to the ${hasTimeline ? "timeline" : "panel"}</a>`;
}

function Header() {
	const {project} = state;
	return html`<header>
		<h1>FACT-CLIP</h1>
		<nav aria-label="Panels">${Object.entries(PANELS).map(([id, [title]]) => html`<button type="button" key=${id} id=${`to-${id}`}
			aria-current=${state.panel === id ? "page" : "false"} onClick=${() => showPanel(id)}>${title}</button>`)}</nav>
		<p id="note" role="status">${storageStatus()}</p>
		<button type="button" id="menu-button" popovertarget="menu" title="Project and people">
			<span class="project">${project.project.name}</span>
			<span>${state.annotator || "Your name …"}</span>
			${project.project.blind && html`<span class="is-blind">Blind</span>`}
			<${Icon} name="chevron-down" />
		</button>
		<${Menu} project=${project.project} />
	</header>`;
}

/** The project, who labels, and whether people see each other's labels. */
function Menu({project}) {
	const closeByEnter = ({key, repeat, target}) => {
		if (key !== "Enter" || repeat) return;
		target.blur(); // the name is taken before the menu closes
		target.closest("#menu").hidePopover();
	};
	return html`<section id="menu" popover="auto" aria-label="Project and people">
		<h2 id="project">${project.name}</h2>
		<p class="hint">${project.folder}</p>
		<${Field} label="Your name" id="annotator" maxlength="80" autofocus onKeyDown=${closeByEnter} value=${state.annotator}
			onChange=${(name) => changeAnnotator(name.trim())} />
		<p class="hint">Labels that you make carry it.</p>
		<button type="button" id="blind" aria-pressed=${String(project.blind)} onClick=${() => tried(askBlind)}>
			${project.blind ? "Blind: on" : "Blind …"}</button>
		<p class="hint">While Blind is on, everybody sees only their own tracks.</p>
	</section>`;
}

function changeAnnotator(name) {
	setAnnotator(name);
	tried(async () => {
		await refresh();
		await reopen();
	});
	listUncertainSoon(); // in a blind project, each person has a list
}

/** Switch Blind on or off after a question. */
async function askBlind() {
	const {blind, blind_owner: owner} = state.project.project;
	const {annotator} = state;
	if (!annotator) return fault("Type your name first. Blind belongs to the person who switches it on.");
	if (blind && owner && owner !== annotator) return fault(`${owner} has switched Blind on. Only ${owner} can open the project.`);
	const text = blind ? "Open the project? Then everybody sees the labels of all people and can compare them."
		: `Switch Blind on? You become its owner, ${annotator}, and only you can open the project again. Until then, everybody
			including you sees only their own tracks in the timeline, counts, results and files. A track without an owner goes to the
			person who made its labels. A track with labels of several people, or of people without a name, is hidden from everybody.`;
	if (!await confirm(text, blind ? "Open the project" : "Switch Blind on")) return;
	await changeSettings({blind: !blind});
	await reopen();
}

function storageStatus() {
	if (!state.isConnected) return "The server does not answer. The page tries again.";
	if (state.unsent) return `Storing ${state.unsent} change${state.unsent === 1 ? "" : "s"} …`;
	const count = state.refused.filter(({video}) => video === state.video?.id).length;
	if (count) {
		return html`${count} change${count === 1 ? " was" : "s were"} refused.
			<button type="button" onClick=${repeatRefused}>Apply again</button>
			<button type="button" onClick=${discardRefused}>Discard</button>`;
	}
	return "All changes are stored.";
}

/** Fetch the project, open its first video, and follow changes on the server. */
async function begin() {
	history.replaceState(null, "", `/${location.hash}`); // the token need not stay in the address
	const panel = location.hash.slice(1);
	if (["teach", "results"].includes(panel)) update({panel});
	await refresh();
	listen(catchUp);
	const [first] = state.project.videos;
	if (first) await tried(() => open(first.id));
	await listUncertain();
}

/** Take the focus from a button that the mouse pressed, so that Space plays and does not press it again. */
function leaveButton({target, detail}) {
	if (detail) target.closest("button:not(dialog button)")?.blur();
}

document.addEventListener("keydown", pressKey, true);
document.addEventListener("click", leaveButton);
acceptDrops();
render(html`<${Page} />`, document.getElementById("page"));
await tried(begin);
await learnLayout();
