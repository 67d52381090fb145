/* The form of the chosen segment, next to the video. */

import {html, useState} from "../vendor/preact-htm.js";
import {confirm} from "../common/dialogs.js";
import {edit} from "../common/edits.js";
import {changeActions} from "../common/project.js";
import {tried} from "../common/requests.js";
import {boundaryAt, change, clock, isInstant, typedSeconds} from "../common/segments.js";
import {chosenPart, fault, state, twinOf} from "../common/state.js";
import {move} from "./labelling.js";

export const ORIGINS = {
	drawn: "drawn by hand",
	corrected: "a corrected draft",
	imported: "from a label file",
	predicted: "an accepted draft",
	grouped: "labelled with its group",
};

export function Inspector() {
	const part = chosenPart();
	const selection = {video: state.video?.id, track: state.trackId, start: part?.start, stop: part?.stop};
	const {unsaved, setUnsaved, discardUnsaved} = useUnsaved(selection);
	const fieldValues = {...valuesOf(part), ...unsaved};
	const saveFields = async () => {
		if (!part || !Object.keys(unsaved).length) return;
		const label = await confirmedClass(fieldValues.label.trim(), part.label);
		if (label === null) discardUnsaved("label");
		else if (saveSegment(part, {...fieldValues, label}, unsaved)) discardUnsaved(...Object.keys(unsaved));
	};
	const onEscape = (name) => (event) => {
		if (event.key === "Escape") discardUnsaved(name);
	};
	const field = (name, more) => html`<input id=${name} autocomplete="off" value=${fieldValues[name]}
		onChange=${saveFields} onKeyDown=${onEscape(name)}
		onInput=${(event) => setUnsaved({...unsaved, [name]: event.target.value})} ...${more} />`;
	const names = allNames();
	if (!part) return null;
	return html`<form id="segment-form" onSubmit=${(event) => event.preventDefault()}>
		<fieldset id="segment" title="The values are stored when you leave a field. Press Esc to restore the old value.">
			<legend>Chosen segment</legend>
			<p class="hint" id="origin">${describe(part)}</p>
			<label>Class ${field("label", {list: "names", maxlength: 200})}</label>
			<datalist id="names">${names.map((name) => html`<option value=${name}></option>`)}</datalist>
			<div class="pair">
				<label>Start ${field("start", {inputmode: "decimal"})}</label>
				<label>End ${field("stop", {inputmode: "decimal"})}</label>
			</div>
			<label>Comment ${field("comment", {maxlength: 2000})}</label>
		</fieldset>
	</form>`;
}

/** Keep the text of fields that was typed and is not saved, by field, until another segment is selected. */
function useUnsaved(selection) {
	const [unsaved, setUnsaved] = useState({});
	const [lastSelection, setLastSelection] = useState(selection);
	const isSame = isSameSegment(lastSelection, selection);
	if (Object.keys(selection).some((key) => selection[key] !== lastSelection[key])) {
		setLastSelection(selection);
		if (!isSame) setUnsaved({});
	}
	const discardUnsaved = (...names) => setUnsaved((now) => {
		return Object.fromEntries(Object.entries(now).filter(([name]) => !names.includes(name)));
	});
	return {unsaved: isSame ? unsaved : {}, setUnsaved, discardUnsaved};
}

/** Return whether a selection is the segment of the last one, perhaps with an edge moved. */
function isSameSegment(lastSelection, selection) {
	if (lastSelection.video !== selection.video || lastSelection.track !== selection.track) return false;
	const wasInstant = lastSelection.start === lastSelection.stop;
	if (wasInstant !== (selection.start === selection.stop)) return false;
	return lastSelection.start === selection.start || lastSelection.stop === selection.stop;
}

function valuesOf(part) {
	if (!part) return {label: "", start: "", stop: "", comment: ""};
	const {times} = state.video;
	return {label: part.label, start: clock(times[part.start]), stop: clock(times[part.stop]), comment: part.comment ?? ""};
}

const allNames = () => [...state.project.actions.map(({name}) => name), ...state.project.background];

function describe(part) {
	if (part.kind === "draft") return `Draft of the model, ${Math.round(100 * part.confidence)} % sure.`;
	const by = part.annotator ? `, by ${part.annotator}` : "";
	return `Label, ${ORIGINS[part.origin]}${by}.`;
}

/** Return the class of a typed name, after a question if it would be a new one, or null if there is none. */
async function confirmedClass(label, oldLabel) {
	const names = allNames();
	if (!label || label === oldLabel || names.includes(label)) return label;
	const twin = twinOf(label);
	if (twin) return await confirm(`There is a class "${twin}". Give it to this segment?`, "Yes") ? twin : null;
	if (!await confirm(`There is no class "${label}". Add it?`, "Add the class")) return null;
	await tried(() => changeActions({do: "add", names: [label]})); // a person confirms a name that somebody has changed
	return label;
}

/** Save what was typed, and return whether that was possible. */
function saveSegment(part, fieldValues, unsaved) {
	let start = "start" in unsaved ? typedFrame(fieldValues.start) : part.start;
	let stop = "stop" in unsaved ? typedFrame(fieldValues.stop) : part.stop;
	if (start === null || stop === null) return false;
	if (isInstant(part) && start !== stop) { // a point event moves as a whole
		if (!("stop" in unsaved)) stop = start;
		else if (!("start" in unsaved)) start = stop;
		else {
			fault("A point event has one time.");
			return false;
		}
	}
	if (start > stop || start === stop && !isInstant(part)) {
		fault("A segment has to end after it starts.");
		return false;
	}
	const label = fieldValues.label.trim();
	if (!label) {
		fault("A segment needs a class.");
		return false;
	}
	const values = {label, comment: fieldValues.comment};
	const isMoved = start !== part.start || stop !== part.stop;
	const isChanged = label !== part.label || fieldValues.comment !== (part.comment ?? "");
	if (isMoved) move(part, start, stop, values);
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
	return boundaryAt(times, seconds);
}
