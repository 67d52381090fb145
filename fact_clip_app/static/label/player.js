/* The player, and the position of the cursor. */

import {frameUnder} from "../common/segments.js";
import {state} from "../common/state.js";

export let media = null; // the video element of the open video, or the clock that plays without one
export let timeline = null; // of the open video

export function setMedia(element) {
	media = element;
}

export function setTimeline(newTimeline) {
	timeline = newTimeline;
}

// --- where the cursor is -----------------------------------------------------------------------

export const canPlay = () => ["original", "proxy"].includes(state.video?.media);

/** Return the frame under the cursor. */
export function here() {
	const {times} = state.video;
	const seconds = media?.currentTime ?? timeline?.time ?? 0; // neither is there at first
	// The player may stop a hair before the frame that it shows.
	return Math.min(frameUnder(times, seconds + 1e-4), times.length - 2);
}

/** Return the boundary that is nearest to the cursor. The last frame means the end. */
export function edgeHere() {
	const last = state.video.times.length - 2;
	const frame = here();
	return frame === last ? last + 1 : frame;
}

/** Return the cursor: the frame under it, and the nearest edge. */
export const cursor = () => ({frame: here(), edge: edgeHere()});

export const pause = () => media?.pause();
export const isPaused = () => media?.paused ?? true;
export const speed = () => media?.playbackRate ?? 1;

export function showFrame(frame) {
	const {times} = state.video;
	const place = Math.min(Math.max(frame, 0), times.length - 2);
	// A moment after the frame begins, so that it is this one that is shown.
	const moment = canPlay() ? Math.min(0.002, (times[place + 1] - times[place]) / 4) : 0;
	pause();
	timeline.seek(times[place] + moment);
}

export const stepFrame = (by) => showFrame(here() + by);

/** Move the cursor by some seconds. A video that plays continues to play. */
export function stepSeconds(by) {
	const {times} = state.video;
	const target = Math.min(Math.max(times[here()] + by, times[0]), times.at(-2));
	if (isPaused()) showFrame(frameUnder(times, target + 1e-4));
	else timeline.seek(target);
}

export function togglePlay() {
	if (media) timeline.play();
}

export const zoomAll = () => timeline.zoom(0, state.video.times.at(-1));
export const focusTimeline = () => document.querySelector("#timeline canvas").focus();
