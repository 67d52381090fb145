/* What keys, buttons and the timeline do with segments. */

import {edit} from "./edits.js";
import {confirm} from "./dialogs.js";
import * as player from "./player.js";
import * as segments from "./segments.js";
import {chosenIndex, chosenPart, currentTrack, fault, partsOf, state, update} from "./state.js";

const labels = () => currentTrack().segments;
const framesOf = ({start, stop}) => {
	const {times} = state.video;
	return [segments.frameAt(times, start), segments.frameAt(times, stop)];
};

// --- new segments ------------------------------------------------------------------------------

/** Put a segment on the current track; what lies under it is cut. */
function put(start, stop, label) {
	if (!label) return fault("Add a class first.");
	if (currentTrack().hidden) return fault("This track is hidden from you.");
	edit(segments.put(labels(), {start, stop, label, origin: "drawn", comment: ""}), start);
}

/** Put what was drawn on the timeline. */
export function drawn({row, start, stop}) {
	const track = state.video.tracks[row];
	update({trackId: track.id});
	const [first, last] = framesOf({start, stop});
	if (first < last) put(first, last, state.pen);
	else player.redraw();
}

/** Begin a segment at the cursor. */
export function mark() {
	if (!state.pen) return fault("Add a class first.");
	update({recording: {start: player.here(), label: state.pen}, frame: null});
}

/** End the segment that has begun, and begin the next one if a class is named. */
function endRecording(nextLabel) {
	const {recording} = state;
	if (!recording) return;
	const edge = nextLabel === null ? player.edgeHere() : player.here();
	const [start, stop] = [recording.start, edge].sort((one, other) => one - other);
	update({recording: nextLabel === null ? null : {start: edge, label: nextLabel}});
	if (start < stop) put(start, stop, recording.label);
	if (nextLabel !== null) update({frame: null});
}

export const end = () => endRecording(null);

export function instant() {
	const frame = player.here();
	const over = labels().find((label) => label.start < frame && frame < label.stop);
	if (over) return fault(`A point event cannot lie within "${over.label}". Use another track for point events.`);
	put(frame, frame, state.pen);
}

/** Let the keys of classes set point events while the video plays, or end that. */
export function toggleClicks() {
	update({isClicking: !state.isClicking, recording: null});
}

// --- the chosen segment ------------------------------------------------------------------------

/** Take a class as pen. While a segment is recorded, it ends and one of this class begins. */
export function give(name) {
	update({pen: name});
	if (state.isClicking) return instant();
	const {recording} = state;
	if (recording) {
		const isBegun = player.here() !== recording.start;
		if (isBegun) endRecording(name);
		else update({recording: {...recording, label: name}});
		return;
	}
	const part = chosenPart();
	if (part && part.label !== name) edit(segments.change(part, {label: name}), part.start);
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

export function split() {
	const part = chosenPart();
	if (!part) return;
	const cursor = player.here();
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

/** Choose nothing, and forget a segment that has begun. */
export function leave() {
	update({frame: null, recording: null});
}
