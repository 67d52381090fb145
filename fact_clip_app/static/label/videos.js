/* The list of videos, and what to label next. */

import {html, useMemo, useState} from "../vendor/preact-htm.js";
import {Check, JobLine, Select} from "../common/controls.js";
import {confirm} from "../common/dialogs.js";
import {refresh} from "../common/project.js";
import {ask, tried, videoPath, viewQuery} from "../common/requests.js";
import {state, update} from "../common/state.js";
import {DropZone} from "./files.js";
import {acceptAbove} from "./labelling.js";
import {close, open, stay} from "./open_video.js";
import {showFrame, focusTimeline} from "./player.js";
import {listUncertain} from "./what_next.js";

const PROGRESS = {unlabelled: "unlabelled", started: "in progress", complete: "complete"};

export function Videos() {
	const {videos, removed} = state.project;
	const [search, setSearch] = useState("");
	const [filter, setFilter] = useState("");
	const people = useMemo(() => [...new Set(videos.flatMap(({annotators}) => annotators))].sort(), [videos]);
	const filters = [["", "all"], ...Object.entries(PROGRESS), ...people.map((name) => [`by ${name}`, `by ${name}`])];
	const shown = videos.filter((video) => fits(video, search, filter));
	return html`<section aria-labelledby="videos-title" id="videos-box">
		<h2 id="videos-title">Videos <span class="count">${videos.length}</span></h2>
		<${DropZone} id="files" title="Add files …" />
		<p hidden=${!videos.length} title="Each segment of a label file becomes a point event in its middle">
			<${Check} id="rough" label="Times in label files are rough" checked=${state.isRough} onChange=${(isRough) => update({isRough})} /></p>
		<p id="progress" class="hint" role="status">${state.progress}</p>
		<div class="bar" id="video-filters" hidden=${videos.length < 2}>
			<input id="video-search" type="search" aria-label="Search videos" placeholder="Search" value=${search}
				onInput=${(event) => setSearch(event.target.value)} />
			<${Select} id="video-filter" aria-label="Filter videos" value=${filter} options=${filters} onChange=${setFilter} />
		</div>
		<ul id="videos">${shown.map((video) => html`<${VideoRow} key=${video.id} video=${video} />`)}</ul>
		<p class="hint" hidden=${!videos.length || shown.length}>No video matches.</p>
		<ul id="removed" aria-label="Removed videos">
			${removed.slice(-3).map((video) => html`<${RemovedRow} key=${video.id} video=${video} />`)}</ul>
	</section>`;
}

function fits(video, search, filter) {
	if (!video.name.toLowerCase().includes(search.trim().toLowerCase())) return false;
	if (filter.startsWith("by ")) return video.annotators.includes(filter.slice(3));
	return !filter || video.progress === filter;
}

function VideoRow({video}) {
	const isOpen = state.video?.id === video.id;
	const progress = PROGRESS[video.progress];
	const count = video.labels ? `${video.labels} segment${video.labels === 1 ? "" : "s"}` : progress;
	return html`<li>
		<button type="button" class="link" aria-current=${String(isOpen)} onClick=${() => tried(() => open(video.id))}>
			<${Thumbnail} video=${video} />
			<span class="name">${video.name}</span>
			<small class=${`progress-${video.progress}`} title=${progress}>${count}${video.tests ? " · set aside" : ""}</small>
			<small class="length">${lengthOf(video)}</small>
			<span class="share" title=${`${Math.round(100 * video.share)} % labelled`}><span style=${{width: `${100 * video.share}%`}}></span></span>
		</button>
		<button type="button" class="quiet" title="Remove" aria-label=${`Remove ${video.name}`}
			onClick=${() => tried(() => forget(video))}>×</button>
		<${JobLine} job=${video.job} title="Encoding" name=${video.name} />
		<${JobLine} job=${video.conversion} title="Converting" name=${video.name} />
	</li>`;
}

/** An image of the video, which is fetched when its row is near the window. */
function Thumbnail({video}) {
	if (!video.media) return html`<span class="thumbnail" title="Features without a video"></span>`;
	return html`<img class="thumbnail" alt="" loading="lazy" src=${videoPath(video.id, "/thumbnail")} />`;
}

function lengthOf({duration}) {
	const words = globalThis.Timeline.clock(duration, 0);
	return words.includes(":") ? words : `${words} s`;
}

function RemovedRow({video}) {
	const restore = () => tried(async () => {
		await ask(videoPath(video.id, "/restore"), "POST");
		await refresh();
	});
	return html`<li>${video.name} was removed. <button type="button" onClick=${restore}>Put back</button></li>`;
}

async function forget(video) {
	const count = video.labels;
	const has = count ? ` It has ${count} labelled segment${count === 1 ? "" : "s"}.` : "";
	if (!await confirm(`Remove ${video.name} from the project?${has} You can put it back.`, "Remove")) return;
	await ask(videoPath(video.id, viewQuery()), "DELETE");
	if (state.video?.id === video.id) close();
	await refresh();
	await listUncertain();
}

// --- what next ---------------------------------------------------------------------------------

/** Show a segment of a list, by default a draft. */
export async function show(segment, trackId = null) {
	if (state.video?.id === segment.video) stay();
	else await open(segment.video);
	if (state.video?.id !== segment.video) return; // a different video was opened meanwhile
	const target = {trackId: trackId ?? state.video.draft_track, frame: segment.start, isPoint: false, isPicked: true};
	update({...target, current: segment});
	setTimeout(() => { // when the page shows the opened video
		showFrame(segment.start);
		focusTimeline();
	});
}

/** Show the segment of the list that follows the one that was looked at last. */
export function showNext() {
	const {uncertain, current} = state;
	const index = uncertain.findIndex((segment) => isSame(segment, current));
	const next = uncertain[index + 1] ?? uncertain[0];
	if (next && !isSame(next, current)) tried(() => show(next));
}

function isSame(segment, other) {
	return segment.video === other?.video && segment.start === other.start;
}

export function WhatNext() {
	const {uncertain} = state;
	const [percent, setPercent] = useState(90);
	if (!state.project.model.exists) return null;
	return html`<section id="next" aria-labelledby="uncertain-title">
		<h2 id="uncertain-title">What next</h2>
		<p class="hint">The least certain drafts of all videos. Enter accepts a draft and shows the next one.</p>
		<ol id="uncertain">${uncertain.map((segment) => html`<li key=${`${segment.video} ${segment.start}`}>
			<button type="button" class="link" aria-current=${String(isSame(segment, state.current))} onClick=${() => tried(() => show(segment))}>
				<span class="name">${segment.label}, ${Math.round(100 * segment.confidence)} %</span>
				<small>${segment.name} at ${globalThis.Timeline.clock(segment.time, 1)} s</small></button></li>`)}</ol>
		<p class="hint" hidden=${uncertain.length}>Nothing is uncertain.</p>
		<div class="bar" hidden=${!state.video}>
			<button type="button" id="accept-all" onClick=${() => acceptAbove(percent / 100)}>Accept drafts above</button>
			<label><input type="number" id="accept-percent" min="0" max="100" value=${percent} aria-label="Confidence in percent"
				onInput=${(event) => setPercent(Number(event.target.value))} /> %</label>
		</div>
	</section>`;
}
