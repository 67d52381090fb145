/* Edits of labels. Each is shown at once and waits in a queue until the server has stored it. */

import {ask, pause, Refused, tried, videoPath, viewQuery} from "./requests.js";
import {applied, fits, put} from "./segments.js";
import {BROWSER, currentTrack, fault, isLocked, keepTrack, state, update} from "./state.js";
import {become, sync} from "./sync.js";

const PATIENCE = 2000; // milliseconds before a server that does not answer is asked again
const RESENT = [0, 401, 408, 502, 503, 504, 507]; // the server is away, slow or busy, has another token, or its disk is full

const queue = []; // of {video, body, run}; the first one is being sent. A step of undo or redo has no body.
const waiting = []; // functions that run once no edit waits

// --- the queue ---------------------------------------------------------------------------------

/** Change the labels of the current track. `frame` is where the label to choose lies, or null to choose as before. */
export function edit(change, frame = null) {
	if (!change.removed.length && !change.added.length) return;
	const {video} = state;
	const track = currentTrack();
	if (!mayEdit(track)) return;
	keepTrack();
	const body = bodyOf(track.id, change);
	showChange(video, track.id, body);
	if (frame !== null) {
		const isPoint = body.added.some(({start, stop}) => start === frame && stop === frame);
		update({frame, isPoint});
	}
	add({video: video.id, body, run: () => send(video.id, body)});
}

/** Return whether this page may change a track; say why not. */
export function mayEdit(track) {
	if (!isLocked(track)) return true;
	fault(`The track ${track.name ? `"${track.name}" ` : ""}is locked or hidden. Its signs are beside its row.`);
	return false;
}

/** Return the request that stores a change of a track, with its labels signed as the server does. */
export function bodyOf(track, {removed, added}) {
	const {annotator} = state;
	return {removed, added: added.map((label) => ({...label, annotator})), track, annotator, browser: BROWSER, edit: newId()};
}

const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

/** Undo or redo a step of this browser, after all edits that wait. */
export function travel(direction) {
	const {video} = state;
	if (!video || !mayEdit(currentTrack())) return;
	update({isPicked: false}); // what it brings back was not chosen by anybody
	add({video: video.id, body: null, run: () => step(video.id, direction)});
}

export const undo = () => travel("undo");
export const redo = () => travel("redo");

function add(item) {
	queue.push(item);
	update({unsent: queue.length});
	if (sync.labels === "idle") sendAll();
}

async function sendAll() {
	become("labels", "sending");
	try {
		while (queue.length) await sendFirst();
	} finally {
		become("labels", "idle");
	}
	if (state.toast?.text.startsWith("Not stored yet")) update({toast: null});
	for (const run of waiting.splice(0)) setTimeout(run); // once what was stored is drawn
}

/** Send the first edit of the queue, which it leaves when it is stored or refused. */
async function sendFirst() {
	try {
		await queue[0].run();
	} catch (error) {
		if (RESENT.includes(error.status)) return waitForServer(error);
		if (error instanceof Refused) await tried(() => refuse(queue[0], error));
		else setTimeout(() => {throw error}); // a fault of this page, which has got its answer; others must not wait
	}
	queue.shift();
	update({unsent: queue.length});
}

async function waitForServer(error) {
	become("labels", "retrying");
	fault(`Not stored yet: ${error.message} It is tried again until it is stored.`);
	await pause(PATIENCE);
	become("labels", "sending");
}

/** Run something when no edit waits. */
export function afterEdits(run) {
	if (sync.labels === "idle") run();
	else waiting.push(run);
}

/** Run something that depends on the labels, but after steps that are undone or redone just now. */
export function afterSteps(run) {
	if (waiting.length || queue.some(({body}) => body === null)) waiting.push(run); // in the order of the keys
	else run();
}

addEventListener("beforeunload", (event) => {
	document.activeElement?.blur(); // what is typed there is stored
	if (queue.length || state.recording) event.preventDefault(); // the browser asks whether to leave
});

// --- what is sent ------------------------------------------------------------------------------

async function send(id, body) {
	const answer = await ask(videoPath(id, "/edits"), "POST", body);
	const {video} = state;
	if (video?.id !== id) return;
	const track = video.tracks.find((candidate) => candidate.id === body.track);
	if (track) track.revision = answer.revision;
	const {video_revision: revision, undo: undoTitle, redo: redoTitle} = answer;
	const isNext = revision === video.revision + 1;
	update({video: {...video, revision: isNext ? revision : video.revision, undo: undoTitle, redo: redoTitle}});
	if (revision > video.revision + 1) reloadLater(); // somebody else has changed the video before
}

async function step(id, direction) {
	const answer = await ask(videoPath(id, `/${direction}`), "POST", {browser: BROWSER, annotator: state.annotator});
	if (state.video?.id !== id) return;
	if (queue.length === 1 && answer.tracks.length) show(answer);
	else reloadLater(); // without tracks, Blind was switched on
}

function showChange(video, trackId, change) {
	const tracks = video.tracks.map((track) => {
		return track.id === trackId ? {...track, segments: applied(track.segments, change)} : track;
	});
	update({video: {...video, tracks}});
}

/** Show an answer of the server; the times of the frames stay if it has none. */
export function show(answer) {
	const {video} = state;
	const times = answer.times ?? video.times;
	const isKept = answer.tracks.some(({id}) => id === state.trackId);
	update({video: {...video, ...answer, times}, trackId: isKept ? state.trackId : answer.tracks[0].id});
}

/** Return whether an answer may lack edits of the open video that are shown. */
export function isStale({id, revision}) {
	return id === state.video?.id && (queue.length > 0 || revision < state.video.revision);
}

/** Show an answer of the open video; one that lacks edits is fetched again once they are stored. */
export function showLater(answer) {
	if (state.video?.id !== answer.id) return;
	if (isStale(answer)) reloadLater();
	else show(answer);
}

/** Fetch the open video again once no edit waits. */
export function reloadLater() {
	if (sync.video === "outdated") return;
	become("video", "outdated");
	afterEdits(() => tried(reload));
}

async function reload() {
	become("video", "current");
	const {video} = state;
	if (!video) return;
	const answer = await ask(videoPath(video.id, viewQuery()));
	if (!answer.tracks.length) return; // Blind was switched on; the video is opened again
	const isSetBack = answer.revision < video.revision; // the server has an older copy of the project
	if (isSetBack && state.video === video && !queue.length) show(answer);
	else showLater(answer);
}

// --- refused edits -----------------------------------------------------------------------------

/** Keep an edit that the server has refused, show the labels as they are there, and offer to repeat it. */
async function refuse({video: id, body}, error) {
	const text = messageOf(id, body, error);
	const isRepeatable = body && (error.status >= 500 || error.status === 409 && body.added.length > 0);
	if (isRepeatable) update({refused: [...state.refused, {video: id, body}]});
	if (state.video?.id === id) await tried(() => showStored(id));
	fault(text, isRepeatable ? {title: "Apply my edit again", run: repeatRefused} : null);
}

/** Return the message of a refusal. An edit of labels that a refused edit had made keeps the message that names the person. */
function messageOf(id, body, error) {
	const isSequel = body?.removed.length > 0
		&& state.refused.some(({video, body: {added}}) => video === id && fits(added, body));
	const isShown = state.toast?.button?.run === repeatRefused;
	return isSequel && isShown ? state.toast.text : error.message;
}

/** Show the labels that the server has, and the edits that wait. */
async function showStored(id) {
	update({video: {...state.video, revision: -1}}); // if this fails, the next event fetches them
	const answer = await ask(videoPath(id, viewQuery()));
	if (state.video?.id !== id || !answer.tracks.length) return;
	show(answer);
	for (const {video, body} of queue.slice(1)) {
		const track = state.video.tracks.find((candidate) => candidate.id === body?.track);
		if (video === id && track && fits(track.segments, body)) showChange(state.video, track.id, body);
	}
}

/** Forget the refused edits of the open video. */
export function discardRefused() {
	update({refused: state.refused.filter(({video}) => video !== state.video?.id)});
}

/** Apply refused edits to the labels as they are now: what they removed goes if it is there, what they drew is put over the rest. */
export function repeatRefused() {
	const refused = state.refused.filter(({video}) => video === state.video?.id);
	discardRefused();
	update({toast: null});
	for (const {body: {track, removed, added}} of refused) {
		if (!state.video.tracks.some(({id}) => id === track)) {
			fault(`Your edit of "${[...added, ...removed][0].label}" cannot be applied again: its track is not shown any more.`);
			continue;
		}
		update({trackId: track});
		edit({removed: removed.filter((label) => fits(currentTrack().segments, {removed: [label]})), added: []});
		for (const label of added) edit(put(currentTrack().segments, label), label.start);
	}
}
