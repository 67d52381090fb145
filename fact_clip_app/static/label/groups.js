/* What is this?: groups of unlabelled stretches of all videos. One answer labels all stretches of a group that are checked. */

import {html, useEffect, useRef, useState} from "../vendor/preact-htm.js";
import {afterEdits, reloadLater} from "../common/edits.js";
import {refresh} from "../common/project.js";
import {ask, tried, viewQuery} from "../common/requests.js";
import {clock} from "../common/segments.js";
import {BROWSER, isLocked, state, twinOf, update} from "../common/state.js";
import {Film} from "./clips.js";
import {asGroup, divided, isSame, summaryOf, without} from "./stretches.js";
import {show} from "./videos.js";

const PAGE = 12; // clips that are shown at first, and with each press of "Show more"

/** The button that opens the sheet, if a video is labelled in part. */
export function WhatIsThis() {
	if (!state.project.videos.some(({progress}) => progress === "started")) return null;
	return html`<section id="what-is-this" aria-labelledby="what-title">
		<h2 id="what-title">What is this?</h2>
		<p class="hint">Stretches without a label, in groups that belong together. One answer labels a whole group.</p>
		<button type="button" id="open-groups" onClick=${() => update({groups: {...state.groups, isOpen: true}})}>Show groups …</button>
	</section>`;
}

export const Groups = () => state.groups?.isOpen && html`<${Sheet} groups=${state.groups} />`;

const change = (values) => update({groups: {...state.groups, ...values}});

/** Fetch the groups. They stay as they are until a person groups again. */
async function fetchGroups() {
	change({list: null, problem: "", report: "", undone: null});
	await new Promise(afterEdits);
	const viewer = viewerOf();
	try {
		const answer = await ask(`/api/groups${viewQuery()}`);
		if (viewer !== viewerOf() || !state.groups) return; // what may be seen has changed meanwhile
		const list = answer.groups.map(({stretches}) => asGroup(stretches.filter(({track}) => !isLocked({id: track}))));
		const full = list.filter(({stretches}) => stretches.length);
		change({list: full, place: 0, viewer, leftOut: answer.n_omitted, bare: answer.without_features});
	} catch (error) {
		change({list: [], viewer, problem: error.message});
	}
}

/** Return a string that changes when other tracks may be seen. */
const viewerOf = () => JSON.stringify([state.annotator, state.project.project.blind]);

function Sheet({groups}) {
	const dialog = useRef(null);
	const {place = 0, problem, report} = groups;
	const list = groups.viewer === viewerOf() ? groups.list : null; // somebody else may see other tracks
	const group = list?.[place];
	useEffect(() => {
		dialog.current.showModal();
		if (!list) fetchGroups();
	}, []);
	const close = () => change({isOpen: false, undone: null}); // Undo could take back a later step
	const go = (step) => change({place: (place + step + list.length) % list.length, report: "", problem: ""});
	return html`<dialog id="groups" ref=${dialog} aria-labelledby="groups-title" onClose=${close}>
		<div class="bar">
			<h2 id="groups-title">What is this?</h2>
			<span class="count" id="group-place">${list?.length ? `group ${place + 1} of ${list.length}` : ""}</span>
			<button type="button" id="previous-group" disabled=${!(list?.length > 1)} onClick=${() => go(-1)}>Previous</button>
			<button type="button" id="leave-group" disabled=${!(list?.length > 1)} onClick=${() => go(1)}>Skip this group</button>
			<button type="button" id="group-again" disabled=${!list} onClick=${fetchGroups}>Group again</button>
			<button type="button" class="main" onClick=${close}>Close</button>
		</div>
		<p class="fault" role="alert">${problem}</p>
		<p id="group-report" role="status">${list ? report || (group ? "" : "No unlabelled stretch is left.") : "Grouping …"}${" "}
			${list && groups.undone && html`<button type="button" id="undo-group" onClick=${takeBack}>Undo</button>`}</p>
		${remarks(groups).map((line) => html`<p class="hint">${line}</p>`)}
		${group && html`<${OneGroup} key=${group.id} group=${group} onOpen=${close} />`}
	</dialog>`;
}

const fail = (error) => change({problem: error.message});

function remarks({list, leftOut, bare}) {
	const lines = [];
	if (list && leftOut) lines.push(`The ${leftOut} shortest stretches come once you group again.`);
	if (list && bare?.length) lines.push(`No features yet, so grouped by neighbours and lengths only: ${bare.join(", ")}.`);
	return lines;
}

function OneGroup({group, onOpen}) {
	const {stretches, isOff} = group;
	const [count, setCount] = useState(PAGE);
	const chosen = stretches.filter((_, index) => !isOff[index]);
	const set = (values) => replace(group, [{...group, ...values}]);
	const isEven = !isOff.some(Boolean);
	return html`
		<p id="group-summary">${summaryOf(stretches)}</p>
		<${Answer} stretches=${stretches} count=${chosen.length} onAnswer=${(label) => answer(group, chosen, label)} />
		<div class="bar">
			<button type="button" id="split-group" hidden=${stretches.length < 2 || !isEven} title="Two groups of stretches that are more alike"
				onClick=${() => replace(group, divided(group))}>Different actions: split the group</button>
			<button type="button" id="split-off" hidden=${isEven || !chosen.length}
				onClick=${() => replace(group, without(group))}>Unchecked ones become a group</button>
			<button type="button" id="check-all" hidden=${isEven} onClick=${() => set({isOff: stretches.map(() => false)})}>Check all</button>
			<button type="button" id="check-none" disabled=${!chosen.length} onClick=${() => set({isOff: stretches.map(() => true)})}>Check none</button>
		</div>
		<ul class="sheet" id="group-sheet">${stretches.slice(0, count).map((stretch, index) => html`<${Tile}
			key=${`${stretch.track} ${stretch.start}`} stretch=${stretch} isOff=${isOff[index]} onOpen=${onOpen}
			onCheck=${(isOn) => set({isOff: isOff.map((old, place) => place === index ? !isOn : old)})} />`)}</ul>
		${stretches.length > count && html`<div class="bar">
			<button type="button" id="more-clips" onClick=${() => setCount(count + PAGE)}>Show more</button>
			<span class="hint">${stretches.length - count} checked clips are not shown. They get the label, too.</span></div>`}`;
}

function Answer({stretches, count, onAnswer}) {
	const [name, setName] = useState("");
	const {actions, background} = state.project;
	const classes = actions.filter((action) => !action.point && !background.includes(action.name)).map((action) => action.name);
	const typed = name.trim();
	const isNew = typed && !classes.includes(typed) && !background.includes(typed);
	const twin = isNew ? twinOf(typed) : undefined;
	const submit = (event) => {
		event.preventDefault();
		if (typed && count) onAnswer(typed);
	};
	return html`<form class="bar" id="group-answer" onSubmit=${submit}>
		<label>These ${count} are <input id="group-class" list="group-classes" maxlength="200" autocomplete="off" value=${name}
			placeholder="class" onInput=${(event) => setName(event.target.value)} /></label>
		<datalist id="group-classes">${classes.map((one) => html`<option value=${one}></option>`)}</datalist>
		<button class="main" id="give-class" disabled=${!typed || !count}>${isNew ? "Add the class and label" : "Label"}</button>
		${guessesOf(stretches).map((one) => html`<button type="button" class="guess" key=${one} disabled=${!count} title="Suggested by the model"
			onClick=${() => onAnswer(one)}>${one}</button>`)}
		<button type="button" id="give-nothing" disabled=${!count} title="Background: they count as labelled time only"
			onClick=${() => onAnswer(null)}>Nothing happens</button>
		${twin && html`<span class="hint">There is a class "${twin}".</span>`}
	</form>`;
}

/** Return the two names that a model gives to most stretches of a group. */
function guessesOf(stretches) {
	const counts = {};
	for (const {guess} of stretches) if (guess) counts[guess] = (counts[guess] ?? 0) + 1;
	return Object.entries(counts).sort(([, one], [, other]) => other - one).slice(0, 2).map(([name]) => name);
}

function Tile({stretch, isOff, onOpen, onCheck}) {
	const open = () => {
		onOpen();
		tried(() => show(stretch, stretch.track));
	};
	const moment = clock(stretch.time, 1);
	return html`<li class=${isOff ? "is-off" : ""}>
		<${Film} clip=${stretch} />
		<button type="button" class="link" onClick=${open}><span class="name">${stretch.name}</span>
			<small>${moment}, ${stretch.seconds.toFixed(1)} s, ${stretch.track_name}</small></button>
		<label><input type="checkbox" checked=${!isOff} onChange=${({target}) => onCheck(target.checked)}
			aria-label=${`${stretch.name} at ${moment} belongs to the group`} /> belongs</label>
	</li>`;
}

/** Put groups in the place of one. The others stay where they are. */
function replace(group, groups) {
	change({list: state.groups.list.flatMap((one) => one.id === group.id ? groups : [one]), report: "", problem: "", undone: null});
}

/** Label the chosen stretches of a group. Those that are not checked stay as a group. */
async function answer(group, chosen, label) {
	const stretches = chosen.map(({track, start, stop}) => ({track, start, stop})).filter(({track}) => !isLocked({id: track}));
	const {annotator} = state;
	if (!stretches.length || state.groups.isBusy) return;
	change({isBusy: true});
	try {
		const {labelled, taken, gone} = await ask("/api/groups", "POST", {label, stretches, annotator, browser: BROWSER});
		if (!state.groups) return;
		const rest = group.stretches.filter((one) => !chosen.some((other) => isSame(one, other)));
		const list = state.groups.list.flatMap((one) => one.id === group.id ? (rest.length ? [asGroup(rest)] : []) : [one]);
		const lines = [`${labelled} labelled ${label ?? "as background"}.`];
		if (taken) lines.push(`${taken} had a label by now and stay as they are.`);
		if (gone) lines.push(`${gone} belong to a track or video that is gone.`);
		if (stretches.length < chosen.length) lines.push(`${chosen.length - stretches.length} are on a locked or hidden track.`);
		const undone = labelled ? {list: state.groups.list, place: state.groups.place} : null;
		change({list, place: Math.min(state.groups.place, Math.max(list.length - 1, 0)), report: lines.join(" "), problem: "", undone});
		if (state.video) reloadLater();
		await refresh();
	} catch (error) {
		fail(error);
	} finally {
		if (state.groups) change({isBusy: false});
	}
}

/** Undo the last answer, and show its group again. */
async function takeBack() {
	const {undone} = state.groups;
	change({undone: null}); // one press is one step
	try {
		await ask("/api/actions/undo", "POST", {annotator: state.annotator, browser: BROWSER});
		change({...undone, report: "Undone."});
		if (state.video) reloadLater();
		await refresh();
	} catch (error) {
		fail(error);
	}
}
