/* The open video: it is opened, fetched again after changes, and closed. */

import {afterEdits, isStale, reloadLater, showLater} from "../common/edits.js";
import {follow, predictionSettings, showTitle} from "../common/project.js";
import {ask, videoPath, viewQuery} from "../common/requests.js";
import {fault, lastTrack, state, update} from "../common/state.js";
import {nameOf, settleRecording} from "./recording.js";

let lastOpening = {id: null}; // the last argument of `open`. The answers of earlier calls are not shown.

/** Open a video, at a frame if one is named. */
export async function open(id, frame = null) {
	if (id !== state.video?.id && !await settleRecording()) return;
	const opening = {id};
	lastOpening = opening;
	await new Promise(afterEdits);
	const fetched = await ask(videoPath(id, viewQuery()));
	if (opening !== lastOpening) return;
	const isBlind = state.project.project.blind;
	const needsTrack = isBlind && state.annotator && !ownTrack(fetched, isBlind);
	const video = {...fetched, isBlind, ...needsTrack ? await claimTrack(fetched) : {}};
	if (opening !== lastOpening) return;
	if (!video.tracks.length) {
		close();
		return fault("Blind is on: type your name in the menu at the top to see your own tracks.");
	}
	const trackId = firstTrack(video, isBlind).id;
	const isOutdatedAnswer = isStale(video);
	update({video, trackId, frame, recording: keptRecording(video), shownDrafts: draftsKey(id)});
	if (isOutdatedAnswer) reloadLater();
	showTitle();
}

/** Return the segment that has begun, if the person may still end it in a video that is opened again. */
function keptRecording(video) {
	const {recording} = state;
	const isKept = video.tracks.some((track) => track.id === recording?.trackId);
	if (recording && !isKept) fault(`The recording of "${nameOf(recording)}" was discarded: its track is not yours.`);
	return isKept ? recording : null;
}

/** Stay with the open video, though a different one is being opened. */
export function stay() {
	if (lastOpening.id !== state.video?.id) lastOpening = {id: lastOpening.id};
}

/** Return the track that is current in a video that is opened: the one that the person used last, by its name, else their own,
    else one with labels or drafts. The track of somebody else does not replace their own. */
function firstTrack(video, isBlind) {
	const {tracks, drafts, draft_track: draftTrack} = video;
	const own = ownTrack(video, isBlind);
	const last = tracks.find(({name}) => name === lastTrack());
	const isForeign = last?.annotator && last.annotator !== state.annotator;
	if (last && !(own && isForeign)) return last;
	const labelled = tracks.find(({segments}) => segments.length);
	const drafted = drafts.length ? tracks.find(({id}) => id === draftTrack) : undefined;
	return own ?? labelled ?? drafted ?? tracks[0];
}

/** Return the track of the person. In a blind project, labels that are shown are their own. */
function ownTrack({tracks}, isBlind) {
	const isOwn = ({annotator, segments}) => annotator ? annotator === state.annotator : isBlind && segments.length;
	return tracks.find(isOwn);
}

/** Give the person a track of their own: an empty one without an owner, or a new one. */
async function claimTrack({id, tracks}) {
	const {annotator} = state;
	const free = tracks.find((track) => !track.annotator && !track.complete); // a complete one is somebody's
	const add = () => ask(videoPath(id, "/tracks") + viewQuery(), "POST", {name: annotator, annotator});
	if (!free) return add();
	try {
		return await ask(videoPath(id, `/tracks/${free.id}`) + viewQuery(), "PATCH", {annotator});
	} catch (error) {
		if (error.status === 403) return add(); // somebody has claimed it a moment ago
		throw error;
	}
}

/** Open the video again after the person, or what they may see, has changed. */
export async function reopen() {
	const id = state.video?.id ?? lastOpening.id;
	if (state.project.videos.some((video) => video.id === id)) await open(id, state.frame);
}

export function close() {
	if (state.recording) fault("The video was removed, and what you were recording in it was discarded.");
	update({video: null, trackId: null, frame: null, recording: null});
	showTitle();
}

/** Return a string that changes when the drafts of a video may have changed. */
function draftsKey(id) {
	const video = state.project.videos.find((candidate) => candidate.id === id);
	return JSON.stringify([video?.job?.state, video?.media, predictionSettings()]);
}

/** Fetch the open video again if it, its drafts or what its person may see has changed. */
async function catchUpVideo() {
	const {video, project} = state;
	if (!video) return;
	const current = project.videos.find(({id}) => id === video.id);
	if (!current) return close(); // somebody has removed it
	if (project.project.blind !== video.isBlind) return reopen();
	const key = draftsKey(video.id);
	const isChanged = key !== state.shownDrafts;
	if (!isChanged && (current.revision === video.revision || state.unsent)) return;
	state.shownDrafts = key; // so that the next event does not fetch it a second time
	reloadLater();
}

follow(catchUpVideo);

/** Change the open video by a request that answers with it. */
export async function changeVideo(rest, method, body) {
	const {id} = state.video;
	await new Promise(afterEdits);
	const answer = await ask(videoPath(id, rest) + viewQuery(), method, body);
	showLater(answer);
	return answer;
}
