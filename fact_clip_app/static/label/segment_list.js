/* The segments and point events of the open video as a list with a search. */

import {html, useLayoutEffect, useMemo, useRef, useState} from "../vendor/preact-htm.js";
import {clock, isInstant} from "../common/segments.js";
import {state, update} from "../common/state.js";
import {ORIGINS} from "./inspector.js";
import {showFrame} from "./player.js";

const MOST_ROWS = 100; // a search finds the other segments

export function SegmentList({video}) {
	const [search, setSearch] = useState("");
	const rows = useMemo(() => video.tracks.flatMap((track) => {
		return track.segments.map((segment) => ({track, segment, words: wordsOf(track, segment)}));
	}), [video.tracks]);
	const wanted = search.trim().toLowerCase();
	const found = rows.filter(({words}) => words.includes(wanted)); // all rows without a search
	return html`<details id="segments-box" open>
		<summary>Segments <span class="count">${rows.length}</span></summary>
		<div class="bar">
			<input id="segment-search" type="search" aria-label="Search segments" placeholder="Class, comment, person"
				title="Search for a class, a comment, a person or &quot;accepted draft&quot;"
				value=${search} onInput=${(event) => setSearch(event.target.value)} />
			<button type="button" id="open-clips" disabled=${!state.project.actions.length}
				title="Segments of a class in all videos, as clips"
				onClick=${() => update({clips: {label: state.pen || state.project.actions[0]?.name, order: "longest"}})}>
				Clips …
			</button>
		</div>
		<p class="hint" role="status">${statusOf(wanted, found.length)}</p>
		<p class="hint" hidden=${rows.length}>This video has no segments yet.</p>
		<ol id="segments">${found.slice(0, MOST_ROWS).map(({track, segment}) => html`<${Row}
			key=${`${track.id} ${segment.start} ${segment.stop} ${segment.label}`}
			track=${track} segment=${segment} times=${video.times} />`)}</ol>
	</details>`;
}

function statusOf(wanted, count) {
	const shown = count > MOST_ROWS ? `The list shows the first ${MOST_ROWS}.` : "";
	return wanted ? `${count} found. ${shown}` : shown;
}

function wordsOf(track, {label, comment, origin, annotator}) {
	return [label, comment, ORIGINS[origin], annotator || track.annotator, track.name].join("\n").toLowerCase();
}

/** Scroll the list, and nothing around it, so that an item is visible. */
function reveal(item) {
	const list = item.parentElement;
	const top = item.offsetTop - list.offsetTop;
	const bottom = top + item.offsetHeight;
	if (top < list.scrollTop) list.scrollTop = top;
	else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
}

function Row({track, segment, times}) {
	const {label, comment, start, stop} = segment;
	const choose = () => {
		update({trackId: track.id, frame: start, isPicked: true, isPoint: isInstant(segment)});
		showFrame(start);
	};
	const colour = state.project.colours[label]?.colour;
	const period = isInstant(segment) ? clock(times[start], 2) : `${clock(times[start], 2)} to ${clock(times[stop], 2)}`;
	const isChosen = state.frame === start && state.trackId === track.id && state.isPoint === isInstant(segment);
	const item = useRef(null);
	useLayoutEffect(() => {
		if (isChosen) reveal(item.current);
	}, [isChosen]);
	return html`<li ref=${item}><button type="button" class="link" aria-current=${String(isChosen)} onClick=${choose}>
		<span class="dot" style=${colour ? {background: colour} : {}}></span> <span class="name">${label}</span>
		<small>${period} · ${track.name}${comment && ` · ${comment}`}</small></button></li>`;
}
