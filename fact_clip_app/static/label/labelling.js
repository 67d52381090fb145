/* What keys, buttons and the timeline do with segments.

label  a stored segment of a track; its own `label` is the name of its class
draft  a predicted segment that nobody has accepted
part   what a track shows: a label, or the piece of a draft between labels; its `kind` tells which
point  a label with start === stop, which may lie over a segment

Times are frames, except in `drawn` and `moved`, which get seconds from the timeline. */

import {confirm} from "../common/dialogs.js";
import {edit, mayEdit} from "../common/edits.js";
import * as segments from "../common/segments.js";
import {actionCalled, chosenPart, currentTrack, fault, partsOf, say, state, update} from "../common/state.js";
import {labels, put} from "./placing.js";
import * as player from "./player.js";
import {begin, finish, next} from "./recording.js";
import {redraw} from "./timeline_view.js";

const framesOf = ({start, stop}) => {
	const {times} = state.video;
	return [segments.boundaryAt(times, start), segments.boundaryAt(times, stop)];
};

// --- new segments ------------------------------------------------------------------------------

/** Put what was drawn on the timeline. */
export function drawn({row, start, stop}) {
	const {recording} = state;
	const isPenOnly = recording?.keyTime && recording.start === player.here(); // the key was meant for what is drawn
	const track = state.video.tracks[row];
	update({trackId: track.id, recording: isPenOnly ? null : recording});
	const [first, last] = framesOf({start, stop});
	if (first < last) put(first, last, state.pen);
	else redraw();
}

const pointAt = (frame) => labels().find((label) => segments.isInstant(label) && label.start === frame);

/** Show that a point event replaces the one at its frame, if there is one. */
function showReplaced(frame) {
	const replaced = pointAt(frame);
	if (replaced) say(`"${replaced.label}" was at this frame and is replaced. Use a different track for both.`);
}

/** Set a point event at the cursor, above any segment. */
export function instant(cursor = player.cursor(), label = state.pen) {
	const {frame} = cursor;
	if (pointAt(frame)?.label !== label) showReplaced(frame);
	put(frame, frame, label);
}

/** Let the keys of classes set point events while the video plays, or end that. */
export function toggleClicks() {
	if (state.recording) return fault("A segment is being recorded. Press O to end it, or Esc to drop it.");
	update({isClicking: !state.isClicking});
}

// --- the chosen segment ------------------------------------------------------------------------

/** Do what the key of a class does: name, end or begin a segment, or rename the one that a person picked. */
export function pressClass(name, cursor = player.cursor()) {
	const {recording} = state;
	if (setsPoints(name)) return instant(cursor, name);
	update({pen: name});
	if (recording) passClass(name, cursor);
	else if (!rename(name, cursor)) begin(cursor.frame, name, performance.now());
}

/** Do what a click on a class does: as its key, but it begins no segment, since the mouse may draw one. */
export function clickClass(name) {
	const cursor = player.cursor();
	const isOver = state.isClicking || state.recording; // with nothing else going on, a click on a point class chooses the pen
	if (isOver && setsPoints(name)) return instant(cursor, name);
	update({pen: name});
	if (state.recording) passClass(name, cursor);
	else rename(name, cursor);
}

/** Name the segment that has begun, or end it; another class begins the next one. */
function passClass(name, cursor) {
	const {recording} = state;
	if (recording.label === null) return update({recording: {...recording, label: name}});
	if (recording.label === name) finish(cursor.edge);
	else next(cursor.frame, name, performance.now());
}

const setsPoints = (name) => state.isClicking || actionCalled(name).point;

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

/** Move the edges of a part, and change its values. */
export function move(part, start, stop, values = {}) {
	const isPoint = segments.isInstant(part);
	if (start === part.start && stop === part.stop || start >= stop && !isPoint) return redraw();
	if (isPoint && start !== part.start) showReplaced(start);
	edit(segments.moveEdges(labels(), part, start, stop, values), start);
}

export function split({frame: cursor} = player.cursor()) {
	const part = chosenPart();
	if (!part) return;
	const isInside = part.start < cursor && cursor < part.stop;
	const frame = isInside ? cursor : (part.start + part.stop) >> 1;
	if (frame > part.start) edit(segments.split(part, frame), frame);
}

/** Return the part that merge would join with the chosen one: one of the same class first. Point events are not joined. */
export function partToMerge() {
	const part = chosenPart();
	if (!part || segments.isInstant(part)) return undefined;
	const spans = partsOf(state.video, currentTrack()).filter((other) => !segments.isInstant(other));
	const touching = [
		...spans.filter((other) => other.start === part.stop),
		...spans.filter((other) => other.stop === part.start),
	];
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
	const background = state.project.background[0];
	if (part.kind !== "draft") edit(segments.remove(part), part.start);
	else if (background && part.label !== background) edit(segments.change(part, {label: background}), part.start);
	update({isPicked: false}); // a draft below it was not chosen by anybody
	if (segments.isInstant(part)) update({frame: null}); // nor was a segment below a point event
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
	if (!mayEdit(currentTrack())) return;
	const drafts = partsOf(state.video, currentTrack()).filter((part) => {
		const isSure = part.kind === "draft" && part.confidence >= share;
		return isSure && !state.project.background.includes(part.label);
	});
	edit(segments.accept(drafts));
	say(`${drafts.length} draft${drafts.length === 1 ? "" : "s"} accepted.`);
}
