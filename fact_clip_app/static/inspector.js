/* The chosen segment, beside the video. */

import {html, useState} from "./vendor/preact-htm.js";
import {confirm} from "./dialogs.js";
import {edit} from "./edits.js";
import {change, clock, frameAt, isInstant, moveEdges, typedSeconds} from "./segments.js";
import {chosenPart, currentTrack, fault, state, twinOf} from "./state.js";

const ORIGINS = {
	drawn: "drawn by hand",
	corrected: "a corrected draft",
	imported: "from a label file",
	predicted: "an accepted draft",
};

export function Inspector() {
	const part = chosenPart();
	const chosen = {video: state.video?.id, track: state.trackId, start: part?.start, stop: part?.stop};
	const [typed, setTyped] = useState({}); // field -> what was typed and is not applied
	const [before, setBefore] = useState(chosen);
	const isKept = isSameSegment(before, chosen);
	if (Object.keys(chosen).some((key) => chosen[key] !== before[key])) {
		setBefore(chosen);
		if (!isKept) setTyped({}); // what was typed belongs to the segment before
	}
	const values = part ? {
		label: part.label,
		start: clock(state.video.times[part.start]),
		stop: clock(state.video.times[part.stop]),
		comment: part.comment ?? "",
	} : {label: "", start: "", stop: "", comment: ""};
	const shown = isKept ? {...values, ...typed} : values;
	const takeBack = (...names) => setTyped((now) => Object.fromEntries(Object.entries(now).filter(([name]) => !names.includes(name))));
	const leave = async () => {
		if (!part || !Object.keys(typed).length) return;
		const label = await meantLabel(shown.label.trim(), part.label);
		if (label === null) takeBack("label");
		else if (store(part, {...shown, label}, typed)) takeBack(...Object.keys(typed));
	};
	const press = (name) => (event) => {
		if (event.key === "Escape") takeBack(name);
	};
	const field = (name, more) => html`<input id=${name} autocomplete="off" value=${shown[name]} onChange=${leave} onKeyDown=${press(name)}
		onInput=${(event) => setTyped({...typed, [name]: event.target.value})} ...${more} />`;
	const names = allNames();
	return html`<form id="segment-form" onSubmit=${(event) => event.preventDefault()}>
		<fieldset id="segment" disabled=${!part}>
			<legend>Chosen segment</legend>
			<p class="hint" id="origin">${describe(part)}</p>
			<label>Class ${field("label", {list: "names", maxlength: 200})}</label>
			<datalist id="names">${names.map((name) => html`<option value=${name}></option>`)}</datalist>
			<div class="pair">
				<label>Start ${field("start", {inputmode: "decimal"})}</label>
				<label>End ${field("stop", {inputmode: "decimal"})}</label>
			</div>
			<label>Comment ${field("comment", {maxlength: 2000})}</label>
			<p class="hint">Stored when you leave a field. Esc takes it back.</p>
		</fieldset>
	</form>`;
}

const allNames = () => [...state.project.actions.map(({name}) => name), ...state.project.background];

/** Return whether a segment is the one of before, perhaps with an edge moved. */
function isSameSegment(before, chosen) {
	if (before.video !== chosen.video || before.track !== chosen.track) return false;
	if ((before.start === before.stop) !== (chosen.start === chosen.stop)) return false; // one is a point event
	return before.start === chosen.start || before.stop === chosen.stop;
}

function describe(part) {
	if (!part) return "None. Click one on the timeline.";
	if (part.kind === "draft") return `Draft of the model, ${Math.round(100 * part.confidence)} % sure.`;
	const by = part.annotator ? `, by ${part.annotator}` : "";
	return `Label, ${ORIGINS[part.origin]}${by}.`;
}

/** Return the class that a typed name stands for, after a question where it would be a new one; null: none. */
async function meantLabel(label, before) {
	const names = allNames();
	if (!label || label === before || names.includes(label)) return label;
	const twin = twinOf(label);
	if (twin) return await confirm(`There is a class "${twin}". Give it to this segment?`, "Yes") ? twin : null;
	return await confirm(`There is no class "${label}". Add it?`, "Add the class") ? label : null;
}

/** Store what was typed; return whether it could be. */
function store(part, shown, typed) {
	let start = "start" in typed ? typedFrame(shown.start) : part.start;
	let stop = "stop" in typed ? typedFrame(shown.stop) : part.stop;
	if (start === null || stop === null) return false;
	if (isInstant(part) && start !== stop) { // a point event moves as a whole
		if (!("stop" in typed)) stop = start;
		else if (!("start" in typed)) start = stop;
		else {
			fault("A point event has one time.");
			return false;
		}
	}
	if (start > stop || start === stop && !isInstant(part)) {
		fault("A segment has to end after it starts.");
		return false;
	}
	const label = shown.label.trim();
	if (!label) {
		fault("A segment needs a class.");
		return false;
	}
	const values = {label, comment: shown.comment};
	const isMoved = start !== part.start || stop !== part.stop;
	const isChanged = label !== part.label || shown.comment !== (part.comment ?? "");
	if (isMoved) edit(moveEdges(currentTrack().segments, part, start, stop, values), start);
	else if (isChanged) edit(change(part, values), start);
	return true;
}

function typedFrame(content) {
	const {times} = state.video;
	const seconds = typedSeconds(content);
	const last = times.at(-1);
	if (!(seconds >= 0 && seconds <= last + 5e-4)) {
		fault(`Enter a time between 0 and ${clock(last)}, not "${content}".`);
		return null;
	}
	return frameAt(times, seconds);
}
