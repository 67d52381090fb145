/* The video and its timeline: what is played, and where the cursor is. */

import {html, useEffect, useLayoutEffect, useRef, useState} from "./vendor/preact-htm.js";
import {Chip} from "./clocks.js";
import {JobLine} from "./controls.js";
import {videoPath} from "./requests.js";
import {covers, frameUnder} from "./segments.js";
import {chosenIndex, chosenPart, currentTrack, isLocked, partsOf, state, update} from "./state.js";
import {HEAD_WIDTH, TrackHeads} from "./track_heads.js";

const {Timeline} = globalThis;
const ROW_HEIGHT = 34; // pixels, as in style.css

let media = null; // the video element
export let timeline = null; // of the open video

// --- where the cursor is -----------------------------------------------------------------------

export const canPlay = () => ["original", "proxy"].includes(state.video?.media);

/** Return the frame under the cursor. */
export function here() {
	const {times} = state.video;
	const seconds = (canPlay() ? media : null)?.currentTime ?? timeline?.time ?? 0; // neither is there at first
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

/** Move the cursor by some seconds; a film that plays goes on. */
export function stepSeconds(by) {
	const {times} = state.video;
	const target = Math.min(Math.max(times[here()] + by, times[0]), times.at(-2));
	if (isPaused()) showFrame(frameUnder(times, target + 1e-4));
	else timeline.seek(target);
}

export function togglePlay() {
	if (canPlay()) timeline.play();
}

export const zoomAll = () => timeline.zoom(0, state.video.times.at(-1));
export const focusTimeline = () => document.querySelector("#timeline canvas").focus();

// --- the video ---------------------------------------------------------------------------------

const REASONS = {
	null: "Features without a video: there is nothing to play.",
	converting: "Your browser cannot play this format. It is being converted; you can label meanwhile.",
	failed: "This video could not be converted for your browser. Everything but the picture works.",
};

export function Video({video}) {
	const element = useRef(null);
	const [isUnplayable, setUnplayable] = useState(false);
	const plays = canPlay();
	useLayoutEffect(() => {
		media = element.current;
		setUnplayable(false);
		return () => {
			media = null;
		};
	}, [video.id, video.media]);
	usePause(state.panel !== "label");
	usePlaying();
	const inList = state.project.videos.find(({id}) => id === video.id); // it is fetched more often
	const reason = isUnplayable ? "Your browser cannot play this video. Everything else works." : REASONS[video.media];
	return html`<div id="screen" class=${plays ? "" : "silent"}>
		${plays && html`<video id="video" key=${`${video.id} ${video.media}`} ref=${element} preload="auto"
			src=${videoPath(video.id, `/media?of=${video.media}`)} aria-label="Video" playsinline
			onClick=${togglePlay} onError=${() => setUnplayable(true)}></video>`}
		${(!plays || isUnplayable) && html`<p id="silent" role="status">${reason}</p>`}
		<${JobLine} job=${inList?.conversion} title="Converting" name=${video.name} />
		${state.recording && html`<${Chip} recording=${state.recording} />`}
	</div>`;
}

/** Let a playing film leave the segment that a person picked, and a recording begun while it stood still. */
function usePlaying() {
	useEffect(() => {
		const timer = setInterval(() => {
			if (isPaused()) return;
			const {recording, isPicked} = state;
			if (recording?.isStill) update({recording: {...recording, isStill: false}});
			const part = isPicked ? chosenPart() : undefined;
			if (part && !covers(part, here())) update({isPicked: false});
		}, 100);
		return () => clearInterval(timer);
	}, []);
}

/** Pause while another panel is open, and go on when this one is again. */
function usePause(isAway) {
	const wasPlaying = useRef(false);
	useEffect(() => {
		const isPlaying = media !== null && !media.paused;
		if (!isAway && wasPlaying.current) togglePlay();
		wasPlaying.current = isAway && isPlaying;
		if (isAway) pause();
	}, [isAway]);
}

/** Draw a component again and again, since the cursor moves by itself. */
export function useTicks() {
	const [, draw] = useState(0);
	useEffect(() => {
		const timer = setInterval(() => draw((count) => count + 1), 100);
		return () => clearInterval(timer);
	}, []);
}

// --- the timeline ------------------------------------------------------------------------------

/** Return the rows of the timeline: tracks, one with drafts between its labels, and the prediction. */
function rowsOf(video) {
	const {times} = video;
	const inSeconds = (part) => ({
		...part,
		start: times[part.start],
		stop: times[part.stop],
		unseen: part.kind === "draft" && video.unseen.includes(part.label),
	});
	const rows = video.tracks.map((track) => ({
		name: track.name,
		editable: !isLocked(track),
		segments: state.hidden.includes(track.id) ? [] : partsOf(video, track).map(inSeconds),
	}));
	if (video.drafts.length) {
		const segments = video.drafts.map((draft) => inSeconds({...draft, kind: "draft"}));
		rows.push({name: "prediction", editable: false, segments, curve: true});
	}
	return rows;
}

function selected({row, index}) {
	const track = state.video.tracks[row];
	if (!track) return update({frame: null}); // the row of the prediction
	const part = partsOf(state.video, track)[index];
	update({trackId: track.id, frame: part?.start ?? null, isPicked: true, isPoint: part?.start === part?.stop});
}

/* Where the timeline was when its video was drawn again, as it is once a film is converted. */
let lastView = null; // {id, time, from, to, speed}

/** Show the open video as it was shown before. */
function restoreView(id) {
	if (lastView?.id !== id) return;
	timeline.zoom(lastView.from, lastView.to);
	timeline.seek(lastView.time);
	timeline.speed(lastView.speed);
}

export function TimelineView({video, onEdit, onDraw}) {
	const box = useRef(null);
	const colours = useRef({});
	const handlers = useRef({});
	const selection = useRef("");
	handlers.current = {onEdit, onDraw};
	useLayoutEffect(() => {
		Object.assign(colours.current, video.colours);
		timeline = new Timeline(box.current, {
			duration: video.times.at(-1),
			rows: rowsOf(video),
			colours: colours.current,
			times: video.times,
			label: `Segments of ${video.name}`,
			video: media ?? undefined,
			rowHeight: ROW_HEIGHT,
			headWidth: HEAD_WIDTH,
			overview: true,
			keys: false,
			onSelect: selected,
			onEdit: (change) => handlers.current.onEdit(change),
			onDraw: (drawing) => handlers.current.onDraw(drawing),
			onLoop: (isLooping) => update({isLooping}),
		});
		selection.current = "";
		update({isLooping: false});
		restoreView(video.id);
		const film = media;
		return () => {
			lastView = {id: video.id, time: timeline.time, ...timeline.range, speed: film?.playbackRate ?? 1};
			timeline.destroy();
			timeline = null;
		};
	}, [video.id, video.media]);
	// The state may be newer than what this drawing was made from, where a key is held.
	useLayoutEffect(() => {
		showColours(colours.current, state.video);
		timeline.setRows(rowsOf(state.video));
	}, [video.tracks, video.drafts, video.unseen, state.hidden, state.locked, JSON.stringify(state.project.colours)]);
	useLayoutEffect(() => { // only another segment, so that the view stays where a person has panned to
		const row = state.video.tracks.indexOf(currentTrack());
		const parts = partsOf(state.video, currentTrack());
		const index = chosenIndex(parts);
		const part = parts[index];
		const key = part ? `${row} ${part.start} ${part.stop} ${part.label} ${state.isPicked}` : "";
		if (key !== selection.current) timeline.select(part ? row : -1, index, state.isPicked);
		selection.current = key;
	});
	useLayoutEffect(() => timeline.record(recordingOf(state.video)));
	return html`<div id="timeline-box">
		<div id="timeline" ref=${box}></div>
		<${TrackHeads} video=${video} />
	</div>`;
}

/** Return what the timeline shows of the segment that has begun, or null. */
function recordingOf(video) {
	const {recording} = state;
	const row = video.tracks.findIndex(({id}) => id === recording?.trackId);
	if (row < 0) return null;
	return {row, start: video.times[recording.start], colour: state.project.colours[recording.label]?.colour};
}

/** Draw the rows as they are on the server, where a drag was refused. */
export function redraw() {
	timeline?.setRows(rowsOf(state.video));
}

function showColours(colours, video) {
	for (const name of Object.keys(colours)) delete colours[name];
	Object.assign(colours, video.colours, state.project.colours);
}
