/* What keys, buttons and the timeline do with segments. */

import {html} from "./vendor/preact-htm.js";
import {confirm, question} from "./dialogs.js";
import {edit} from "./edits.js";
import * as player from "./player.js";
import * as segments from "./segments.js";
import {actionCalled, chosenIndex, chosenPart, currentTrack, fault, partsOf, say, state, update} from "./state.js";

const labels = () => currentTrack().segments;
const framesOf = ({start, stop}) => {
	const {times} = state.video;
	return [segments.frameAt(times, start), segments.frameAt(times, stop)];
};

// --- new segments ------------------------------------------------------------------------------

/** Put a segment on the current track; what lies under it is cut. It is shown, but no key of a class renames it. */
function put(start, stop, label) {
	if (!label) return fault("Add a class first.");
	edit(segments.put(labels(), {start, stop, label, origin: "drawn", comment: ""}), start);
	update({isPicked: false});
}

/** Put what was drawn on the timeline. */
export function drawn({row, start, stop}) {
	const {recording} = state;
	const isPenOnly = recording && recording.start === player.here(); // the key was meant for what is drawn
	const track = state.video.tracks[row];
	update({trackId: track.id, recording: isPenOnly ? null : recording});
	const [first, last] = framesOf({start, stop});
	if (first < last) put(first, last, state.pen);
	else player.redraw();
}

/** Set a point event at the cursor. */
export function instant(cursor = player.cursor(), label = state.pen) {
	const {frame} = cursor;
	const isRecorded = state.recording?.trackId === currentTrack().id;
	const over = labels().find(({start, stop}) => start < frame && frame < stop) ?? (isRecorded ? state.recording : null);
	if (over) return fault(`A point event cannot lie within "${over.label ?? state.pen}". Use another track for point events.`);
	put(frame, frame, label);
}

/** Let the keys of classes set point events while the video plays, or end that. */
export function toggleClicks() {
	if (state.recording) return fault("A segment is being recorded. O ends it, Esc drops it.");
	update({isClicking: !state.isClicking});
}

// --- recording ---------------------------------------------------------------------------------

/* A recording is a segment that has begun: {start, label, trackId, keyTime}. Its label is null until a class is named;
   keyTime tells when the key of a class began it, in milliseconds, and is null after I. */

const CORRECTION = 2000; // milliseconds within which I, after the key of a class, moves the start that the key set

/** Begin a segment at a frame of the current track. */
function begin(start, label, keyTime) {
	if (!state.pen) return fault("Add a class first.");
	update({recording: {start, label, trackId: currentTrack().id, keyTime}, frame: null});
}

/** End the segment that has begun. */
function finish(edge) {
	const {recording} = state;
	const isThere = state.video.tracks.some(({id}) => id === recording.trackId);
	if (!isThere) return fault("The track of this recording was removed. Esc drops it.");
	const [start, stop] = [recording.start, edge].sort((one, other) => one - other);
	update({recording: null, trackId: recording.trackId});
	if (start < stop) put(start, stop, recording.label ?? state.pen);
}

/** Begin a segment at the cursor, which the next key of a class names; a named one that has begun ends. */
export function mark(cursor = player.cursor()) {
	const {recording} = state;
	const isCorrection = recording?.keyTime && performance.now() - recording.keyTime < CORRECTION;
	if (isCorrection) return update({recording: {...recording, start: cursor.frame, keyTime: null}});
	if (recording?.label) finish(cursor.frame);
	begin(cursor.frame, null, null);
}

/** End the segment that has begun. */
export function end(cursor = player.cursor()) {
	if (state.recording) finish(cursor.edge);
}

/** Choose nothing. A segment that has begun is dropped first. */
export function leave() {
	const {recording} = state;
	if (recording) say(`The recording of "${recording.label ?? state.pen}" was dropped.`);
	update(recording ? {recording: null} : {frame: null});
}

/** Ask what becomes of a segment that has begun, before the video is left; return whether it may be left. */
export async function settleRecording() {
	const {recording} = state;
	if (!recording) return true;
	const {times} = state.video;
	const cursor = player.cursor();
	player.pause();
	const since = segments.clock(times[recording.start]);
	const fields = html`<label>It <select name="what" id="recording-ends">
		<option value="end">ends at ${segments.clock(times[cursor.edge])}</option>
		<option value="drop">is dropped</option></select></label>`;
	const name = recording.label ?? state.pen;
	const answer = await question(`"${name}" has been recorded since ${since}.`, "Leave this video", fields);
	if (!answer) return false;
	if (answer.what === "end") end(cursor);
	update({recording: null});
	return true;
}

/** Ask for another class, because the one that is recorded was removed or renamed by somebody else. */
export async function renameRecording() {
	const {label, start} = state.recording;
	player.pause();
	update({recording: {...state.recording, label: null}}); // so that it is asked once
	const names = state.project.actions.map(({name}) => name);
	const fields = html`<label>Class <select name="name" id="recording-name">
		${names.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>`;
	const since = segments.clock(state.video.times[start]);
	const text = `There is no class "${label}" any more, which has been recorded since ${since}. Cancel drops the recording.`;
	const answer = await question(text, "Record this class", fields);
	if (state.recording) update({recording: answer && {...state.recording, label: answer.name}});
}

// --- the chosen segment ------------------------------------------------------------------------

/** Do what the key of a class does: name, end or begin a segment, or rename the one that a person picked. */
export function pressClass(name, cursor = player.cursor()) {
	const {recording} = state;
	const isPoint = state.isClicking || actionCalled(name).point;
	update({pen: name});
	if (isPoint) instant(cursor, name);
	else if (recording) passClass(name, cursor);
	else if (!rename(name, cursor)) begin(cursor.frame, name, performance.now());
}

/** Do what a click on a class does: as its key, but it begins no segment, since the mouse may draw one. */
export function clickClass(name) {
	const cursor = player.cursor();
	update({pen: name});
	if (state.isClicking) instant(cursor, name);
	else if (state.recording) passClass(name, cursor);
	else rename(name, cursor);
}

/** Name the segment that has begun, or end it; another class begins the next one. */
function passClass(name, cursor) {
	const {recording} = state;
	if (recording.label === null) return update({recording: {...recording, label: name}});
	if (recording.label === name) return finish(cursor.edge);
	finish(cursor.frame);
	begin(cursor.frame, name, performance.now());
}

/** Rename the segment that a person picked, if the cursor is inside; return whether it is. */
function rename(name, cursor) {
	const part = state.isPicked ? chosenPart() : undefined;
	if (!part || !segments.covers(part, cursor.frame)) return false;
	if (part.label === name) say(`This segment is "${name}". Esc leaves it.`);
	else edit(segments.change(part, {label: name}), part.start);
	return true;
}

export function moved({row, index, start, stop}) {
	const track = state.video.tracks[row];
	update({trackId: track.id});
	const part = partsOf(state.video, track)[index];
	const [first, last] = framesOf({start, stop});
	move(part, first, last);
}

/** Move the edges of a part. */
export function move(part, start, stop) {
	if (start === part.start && stop === part.stop || start >= stop && !segments.isInstant(part)) return player.redraw();
	edit(segments.moveEdges(labels(), part, start, stop), start);
}

export function split({frame: cursor} = player.cursor()) {
	const part = chosenPart();
	if (!part) return;
	const isInside = part.start < cursor && cursor < part.stop;
	const frame = isInside ? cursor : (part.start + part.stop) >> 1;
	if (frame > part.start) edit(segments.split(part, frame), frame);
}

/** Return the part that merge would join with the chosen one: one of the same class first. */
export function partToMerge() {
	const parts = partsOf(state.video, currentTrack());
	const index = chosenIndex(parts);
	const part = parts[index];
	if (!part) return undefined;
	const touching = [parts[index + 1], parts[index - 1]].filter((other) => {
		return other && (other.start === part.stop || other.stop === part.start);
	});
	return touching.find(({label}) => label === part.label) ?? touching[0];
}

export async function merge() {
	const part = chosenPart();
	const other = partToMerge();
	if (!part || !other) return;
	if (other.label !== part.label) {
		const question = `Merge "${part.label}" with "${other.label}"? Both become "${part.label}".`;
		if (!await confirm(question, "Merge")) return;
	}
	edit(segments.merge(part, other), Math.min(part.start, other.start));
}

/** Delete a label. A draft is labelled as background instead. */
export function remove() {
	const part = chosenPart();
	if (!part) return;
	const background = state.video.background[0];
	if (part.kind !== "draft") edit(segments.remove(part), part.start);
	else if (background && part.label !== background) edit(segments.change(part, {label: background}), part.start);
}

// --- drafts ------------------------------------------------------------------------------------

export function accept() {
	const part = chosenPart();
	if (part?.kind !== "draft") return false;
	edit(segments.accept([part]), part.start);
	return true;
}

/** Accept the drafts of the current track that are at least so sure, a share. */
export function acceptAbove(share) {
	const drafts = partsOf(state.video, currentTrack()).filter((part) => {
		const isSure = part.kind === "draft" && part.confidence >= share;
		return isSure && !state.video.background.includes(part.label);
	});
	edit(segments.accept(drafts), state.frame);
	return drafts.length;
}
