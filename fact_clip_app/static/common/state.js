/* What the page knows. Components are drawn again after each update. */

import {covers, overlay} from "./segments.js";

export const BROWSER = stored("browser", () => Math.random().toString(36).slice(2) + Date.now().toString(36));

export const WIDTHS = {left: 270, right: 290}; // of the columns beside the film, in pixels

export const state = {
	project: null, // the answer of /api/state
	isConnected: true,
	panel: "label", // or "teach", "results"
	annotator: stored("annotator", () => ""),
	toast: null, // {text, isFault, button: {title, run}}
	question: null, // of the dialog that is open, see dialogs.js
	progress: "", // of uploads
	isRough: false, // whether segments of label files become points in their middles
	video: null, // the answer of /api/videos/ID, with its labels as they are after unsent edits
	shownDrafts: "", // tells which drafts the open video has, see open_video.js in label/
	trackId: null, // the current track
	frame: null, // the chosen segment is the one that covers this frame of the current track
	isPicked: false, // whether a person chose that segment; one that was just made is shown, but not picked
	isPoint: false, // whether it is the point event at this frame
	pen: "", // the class that the next segment gets
	recording: null, // the segment that has begun, see recording.js in label/
	isLooping: false,
	isClicking: false, // whether the key of a class sets a point event
	unsent: 0, // edits that the server has not stored yet
	refused: [], // edits that the server refused, see edits.js
	uncertain: [], // segments of What next
	current: null, // the one of them that was shown last
	files: [], // label files to compare: {key, name}
	isHelpOpen: false,
	clips: null, // of the sheet that is open: {label, order}
	groups: null, // of unlabelled stretches, see groups.js in label/: {isOpen, list, place, ...}
	curves: {columns: [], drawn: []}, // of the open video, see curves.js in label/
	hidden: [], // ids of tracks whose segments are not drawn
	locked: [], // ids of tracks that no edit of this page changes
	folded: JSON.parse(stored("folded", () => '{"left": false, "right": false}')), // the columns beside the film
	widths: JSON.parse(stored("widths", () => JSON.stringify(WIDTHS))),
};

/** Show a panel, which the address of the page names. */
export function showPanel(panel) {
	history.replaceState(null, "", `#${panel}`);
	update({panel});
}

const listeners = new Set();

/** Change values of the state, and draw again what depends on it. */
export function update(values) {
	Object.assign(state, values);
	for (const run of listeners) run();
}

export function subscribe(run) {
	listeners.add(run);
	return () => listeners.delete(run);
}

/** Return a value that this browser keeps, or a first one, which it keeps from now on. */
function stored(key, first) {
	const value = localStorage.getItem(key) ?? first();
	localStorage.setItem(key, value);
	return value;
}

export function setAnnotator(name) {
	localStorage.setItem("annotator", name);
	update({annotator: name});
}

/** Fold or unfold columns beside the film. */
export function fold(sides) {
	const folded = {...state.folded, ...sides};
	localStorage.setItem("folded", JSON.stringify(folded));
	update({folded});
}

export function setWidth(side, width) {
	const widths = {...state.widths, [side]: width};
	localStorage.setItem("widths", JSON.stringify(widths));
	update({widths});
}

// --- messages ----------------------------------------------------------------------------------

/** Show an error until it is dismissed, or the next one comes. */
export function fault(text, button = null) {
	update({toast: {text, isFault: true, button}});
}

let fading;

/** Show a message for some seconds. */
export function say(text) {
	clearTimeout(fading);
	update({toast: {text, isFault: false, button: null}});
	fading = setTimeout(() => {
		if (state.toast && !state.toast.isFault) update({toast: null});
	}, 6000);
}

// --- the open video ----------------------------------------------------------------------------

export function currentTrack() {
	const tracks = state.video?.tracks ?? [];
	return tracks.find(({id}) => id === state.trackId) ?? tracks[0];
}

/** Make a track of the open video the current one. */
export function chooseTrack(id) {
	update({trackId: id, frame: null});
	keepTrack();
}

/** Keep the name of the current track as the one that this person used last in the project. */
export function keepTrack() {
	localStorage.setItem(trackKey(), currentTrack().name);
}

/** Return the name of the track that this person used last in the project, or null. */
export const lastTrack = () => localStorage.getItem(trackKey());

const trackKey = () => JSON.stringify(["track", state.project.project.folder, state.annotator]);

/** Return whether no edit of this page may change a track: it is locked, or hidden. */
export const isLocked = ({id}) => state.locked.includes(id) || state.hidden.includes(id);

/** Return the action of a name, or undefined. */
export const actionCalled = (name) => state.project.actions.find((action) => action.name === name);

/** Return the class that a name equals but for its case, or undefined. */
export function twinOf(name) {
	return state.project.actions.map((action) => action.name).find((other) => {
		return other !== name && other.toLowerCase() === name.toLowerCase();
	});
}

/** Return what a track shows: its labels, and drafts between them on the track that they are for. */
export function partsOf(video, track) {
	const hasDrafts = video.draft_track === track.id && !track.complete;
	return overlay(track.segments, hasDrafts ? video.drafts : []);
}

/** Return the index of the chosen part of the current track, or -1. */
export function chosenIndex(parts) {
	if (state.frame === null) return -1;
	const exact = parts.findIndex(({start, stop}) => start === state.frame && state.isPoint === (start === stop));
	if (exact >= 0 || state.isPoint) return exact; // a segment under a point that is gone was not chosen by anybody
	return parts.findIndex((part) => covers(part, state.frame));
}

/** Return the chosen part, or undefined. */
export function chosenPart() {
	if (!state.video) return undefined;
	const parts = partsOf(state.video, currentTrack());
	return parts[chosenIndex(parts)];
}
