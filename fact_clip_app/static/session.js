/* The project and the open video, kept equal to what the server has. */

import {afterEdits, isStale, reloadLater, showLater} from "./edits.js";
import {nameOf, renameRecording, settleRecording} from "./recording.js";
import {ask, listen, tried, videoPath, viewQuery} from "./requests.js";
import {BROWSER, fault, say, state, update} from "./state.js";

/** Fetch the state of the project. */
export async function refresh() {
	accept(await ask(`/api/state${viewQuery()}`));
}

/** Show a state of the project; `renamed` are classes that this browser has renamed or merged, by their old names. */
export function accept(project, renamed = {}) {
	const names = project.actions.map(({name}) => name);
	const nameNow = (name) => renamed[name] ?? renamedTo(name, project) ?? name;
	const {recording} = state;
	const pen = nameNow(state.pen);
	const isGone = pen && !names.includes(pen);
	if (isGone && names.length) say(`There is no class "${pen}" any more. What you draw gets "${names[0]}".`);
	const label = recording?.label && nameNow(recording.label);
	const renamedRecording = recording && {...recording, label, pen: nameNow(recording.pen)};
	update({project, pen: isGone || !pen ? names[0] ?? "" : pen, recording: renamedRecording});
	if (recording && !names.includes(nameOf(renamedRecording))) renameRecording();
	document.title = titleOf(project, state.video);
}

/** Return the name that a class has now, or undefined. */
function renamedTo(name, project) {
	const id = state.project?.actions.find((action) => action.name === name)?.id;
	return project.actions.find((action) => action.id === id)?.name;
}

function titleOf(project, video) {
	return [video?.name, project.project.name, "FACT-CLIP"].filter(Boolean).join(" – ");
}

let openings = 0; // only the last one shows its video
let openingId = null; // of that video
let wasBlind = false; // when it was opened

/** Open a video, at a frame if one is named. */
export async function open(id, frame = null) {
	if (id !== state.video?.id && !await settleRecording()) return;
	openings += 1;
	openingId = id;
	const opening = openings;
	await new Promise(afterEdits);
	const fetched = await ask(videoPath(id, viewQuery()));
	if (opening !== openings) return;
	wasBlind = state.project.project.blind;
	const needsTrack = wasBlind && state.annotator && !ownTrack(fetched);
	const video = needsTrack ? {...fetched, ...await claimTrack(fetched)} : fetched;
	if (opening !== openings) return;
	if (!video.tracks.length) {
		close();
		return fault("Blind is on: type your name in the menu at the top. You see your own tracks then.");
	}
	const trackId = (ownTrack(video) ?? video.tracks[0]).id;
	const isOutdatedAnswer = isStale(video);
	update({video, trackId, frame, recording: keptRecording(video), shownDrafts: draftsKey(id)});
	if (isOutdatedAnswer) reloadLater();
	document.title = titleOf(state.project, video);
}

/** Return the segment that has begun, if the person may still end it in a video that is opened again. */
function keptRecording(video) {
	const {recording} = state;
	const isKept = video.tracks.some((track) => track.id === recording?.trackId);
	if (recording && !isKept) fault(`The recording of "${nameOf(recording)}" was dropped: its track is not yours.`);
	return isKept ? recording : null;
}

/** Stay with the open video, though another one is being opened. */
export function stay() {
	if (openingId !== state.video?.id) openings += 1;
}

/** Return the track of the person. In a blind project, labels that are shown are their own. */
function ownTrack({tracks}) {
	const isOwn = ({annotator, segments}) => annotator ? annotator === state.annotator : wasBlind && segments.length;
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
	const id = state.video?.id ?? openingId;
	if (state.project.videos.some((video) => video.id === id)) await open(id, state.frame);
}

export function close() {
	if (state.recording) fault("The video was removed, and what was recorded in it was dropped.");
	update({video: null, trackId: null, frame: null, recording: null});
	document.title = titleOf(state.project, null);
}

/** Return a string that changes when the drafts of a video may have changed. */
function draftsKey(id) {
	const video = state.project.videos.find((candidate) => candidate.id === id);
	return JSON.stringify([video?.job?.state, video?.media, predictionSettings()]);
}

/** Return what predictions depend on apart from the video. */
export function predictionSettings() {
	const {model, adjust, actions, background} = state.project;
	return [model.chosen, adjust, actions.map(({name}) => name), background];
}

let isRefreshing = false;
let isOutdated = false;

/** Fetch what has changed on the server. */
async function catchUp() {
	if (isRefreshing) {
		isOutdated = true;
		return;
	}
	isRefreshing = true;
	try {
		await tried(refresh);
	} finally {
		isRefreshing = false;
	}
	tried(catchUpVideo); // not awaited, because drafts may take a while
	listUncertainSoon();
	if (isOutdated) {
		isOutdated = false;
		await catchUp();
	}
}

async function catchUpVideo() {
	const {video, project} = state;
	if (!video) return;
	const current = project.videos.find(({id}) => id === video.id);
	if (!current) return close(); // somebody has removed it
	if (project.project.blind !== wasBlind) return reopen();
	const key = draftsKey(video.id);
	const isChanged = key !== state.shownDrafts;
	if (!isChanged && (current.revision === video.revision || state.unsent)) return;
	state.shownDrafts = key; // so that the next event does not fetch it a second time
	reloadLater();
}

let waiting;

/** Fetch the list of What next, once no edit has come for a while. */
export function listUncertainSoon() {
	clearTimeout(waiting);
	waiting = setTimeout(() => tried(listUncertain), 1000);
}

export async function listUncertain() {
	if (!state.project.model.exists) return update({uncertain: []});
	const {segments} = await ask(`/api/clips${viewQuery()}&order=least+sure`);
	update({uncertain: segments});
}

/** Change the open video by a request that answers with it. */
export async function changeVideo(rest, method, body) {
	const {id} = state.video;
	await new Promise(afterEdits);
	const answer = await ask(videoPath(id, rest) + viewQuery(), method, body);
	showLater(answer);
	return answer;
}

export async function begin() {
	history.replaceState(null, "", `/${location.hash}`); // the token need not stay in the address
	const panel = location.hash.slice(1);
	if (["teach", "results"].includes(panel)) update({panel});
	await refresh();
	listen(catchUp);
	const [first] = state.project.videos;
	if (first) await tried(() => open(first.id));
	await listUncertain();
}

export function showPanel(panel) {
	history.replaceState(null, "", `#${panel}`);
	update({panel});
}

let lastChange = Promise.resolve();

/** Change classes, after the changes before; the answer is the state of the project. */
export function changeActions(body, renamed = {}) {
	const change = async () => {
		accept(await ask("/api/actions", "POST", {...body, browser: BROWSER, annotator: state.annotator}), renamed);
		await catchUpVideo();
	};
	lastChange = lastChange.then(change, change);
	return lastChange;
}

export async function changeSettings(body) {
	accept(await ask("/api/settings", "POST", {...body, annotator: state.annotator}));
	await catchUpVideo();
}
