/* The timeline of the open video. */

import {html, useLayoutEffect, useRef} from "../vendor/preact-htm.js";
import {isInstant} from "../common/segments.js";
import {chosenIndex, currentTrack, isLocked, partsOf, state, update} from "../common/state.js";
import {media, setTimeline, timeline} from "./player.js";
import {HEAD_WIDTH, TrackHeads} from "./track_heads.js";

const {Timeline} = globalThis;
const ROW_HEIGHT = 34; // pixels, as in style.css

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
		isMain: track === currentTrack(),
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
	update({trackId: track.id, frame: part?.start ?? null, isPicked: true, isPoint: Boolean(part) && isInstant(part)});
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
		setTimeline(new Timeline(box.current, {
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
		}));
		selection.current = "";
		update({isLooping: false});
		restoreView(video.id);
		const film = media;
		return () => {
			lastView = {id: video.id, time: timeline.time, ...timeline.range, speed: film?.playbackRate ?? 1};
			timeline.destroy();
			setTimeline(null);
		};
	}, [video.id, video.media]);
	// The state may be newer than what this drawing was made from, where a key is held.
	useLayoutEffect(() => {
		showColours(colours.current, state.video);
		timeline.setRows(rowsOf(state.video));
	}, [video.tracks, video.drafts, video.unseen, state.trackId, state.hidden, state.locked, JSON.stringify(state.project.colours)]);
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
