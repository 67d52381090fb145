/* The segment that has begun: it grows until its end is marked. The page asks what to do with it if it cannot stay. */

import {html, useLayoutEffect} from "../vendor/preact-htm.js";
import {question} from "../common/dialogs.js";
import {mayEdit} from "../common/edits.js";
import {clock} from "../common/segments.js";
import {currentTrack, fault, say, state, update} from "../common/state.js";
import {put} from "./placing.js";
import * as player from "./player.js";

/* A recording is a segment that has begun: {start, label, pen, trackId, keyTime, isStill}. Its label is null until a class
   is named, and without a name it gets the class that was the pen then. keyTime tells when the key of a class began it,
   in milliseconds, and is null after I. isStill: the video has not played since. */

const CORRECTION = 2000; // milliseconds within which I, after the key of a class, moves the start that the key set

/** Begin a segment at a frame of the current track. */
export function begin(start, label, keyTime) {
	if (!state.pen) return fault("Add a class first.");
	if (!mayEdit(currentTrack())) return;
	const {pen} = state;
	const recording = {start, label, pen, trackId: currentTrack().id, keyTime, isStill: player.isPaused()};
	update({recording, frame: null});
}

/** End the segment that has begun. Return whether its track is still there. */
export function finish(edge) {
	const {recording} = state;
	const isThere = state.video.tracks.some(({id}) => id === recording.trackId);
	if (!isThere) {
		fault("The track of this recording was removed. Press Esc to discard the recording.");
		return false;
	}
	const [start, stop] = [recording.start, edge].sort((one, other) => one - other);
	update({recording: null, trackId: recording.trackId});
	if (start < stop) put(start, stop, nameOf(recording));
	return true;
}

/** Return the class that a recording gets. */
export const nameOf = ({label, pen}) => label ?? pen;

/** End the segment that has begun, and begin the next one on the track that is chosen now. */
export function next(frame, label, keyTime) {
	const {trackId} = state;
	if (!finish(frame)) return;
	update({trackId});
	begin(frame, label, keyTime);
}

/** Begin a segment at the cursor, which the next key of a class names. A named segment that has begun ends. */
export function mark(cursor = player.cursor()) {
	const {recording} = state;
	const isSoon = recording?.isStill || performance.now() - recording?.keyTime < CORRECTION;
	if (recording?.keyTime && isSoon) update({recording: {...recording, start: cursor.frame, keyTime: null}});
	else if (recording?.label) next(cursor.frame, null, null);
	else begin(cursor.frame, null, null);
}

/** End the segment that has begun. */
export function end(cursor = player.cursor()) {
	if (state.recording) finish(cursor.edge);
}

/** Choose nothing. A segment that has begun is dropped first. */
export function leave() {
	const {recording} = state;
	if (recording) say(`The recording of "${nameOf(recording)}" was discarded.`);
	update(recording ? {recording: null} : {frame: null});
}

/** Ask what to do with a segment that has begun, before the video is left. Return whether it may be left. */
export async function settleRecording() {
	const {recording} = state;
	if (!recording) return true;
	const {times} = state.video;
	const cursor = player.cursor();
	player.pause();
	const since = clock(times[recording.start]);
	const fields = html`<label>It <select name="what" id="recording-ends">
		<option value="end">ends at ${clock(times[cursor.edge])}</option>
		<option value="drop">is dropped</option></select></label>`;
	const name = nameOf(recording);
	const answer = await question(`"${name}" has been recorded since ${since}.`, "Leave this video", fields);
	if (!answer) return false;
	if (answer.what === "end") finish(cursor.edge);
	update({recording: null});
	return true;
}

let isAsked = false;

/** Ask for a class once the class of the recording is gone, because somebody else has removed or renamed it. */
export function useRecordedClass() {
	useLayoutEffect(() => {
		const {recording, project} = state;
		if (recording && !project.actions.some(({name}) => name === nameOf(recording))) renameRecording();
	}, [state.project]);
}

async function renameRecording() {
	const {start} = state.recording;
	const label = nameOf(state.recording);
	if (isAsked) return;
	isAsked = true;
	player.pause();
	const names = state.project.actions.map(({name}) => name);
	const fields = html`<label>Class <select name="name" id="recording-name">
		${names.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>`;
	const since = clock(state.video.times[start]);
	const text = `There is no class "${label}" any more, which has been recorded since ${since}. Cancel drops the recording.`;
	const answer = await question(text, "Record this class", fields);
	isAsked = false;
	if (state.recording) update({recording: answer && {...state.recording, label: answer.name}});
}
