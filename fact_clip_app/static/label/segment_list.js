/* The segments of the open video as a list with a search. */

import {html, useMemo, useState} from "../vendor/preact-htm.js";
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
	return html`<details id="segments-box">
		<summary>Segments <span class="count">${rows.length}</span></summary>
		<input id="segment-search" type="search" aria-label="Search segments" placeholder="class, comment, person, accepted draft"
			value=${search} onInput=${(event) => setSearch(event.target.value)} />
		<p class="hint" role="status">
			${wanted ? `${found.length} found` : ""}${found.length > MOST_ROWS ? `; the first ${MOST_ROWS} are shown` : ""}
		</p>
		<button type="button" id="open-clips" disabled=${!state.project.actions.length}
			onClick=${() => update({clips: {label: state.pen || state.project.actions[0]?.name, order: "longest"}})}>
			Clips of a class …
		</button>
		<ol id="segments">${found.slice(0, MOST_ROWS).map(({track, segment}) => html`<${Row}
			key=${`${track.id} ${segment.start} ${segment.stop} ${segment.label}`}
			track=${track} segment=${segment} times=${video.times} />`)}</ol>
	</details>`;
}

function wordsOf(track, {label, comment, origin, annotator}) {
	return [label, comment, ORIGINS[origin], annotator || track.annotator, track.name].join("\n").toLowerCase();
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
	return html`<li><button type="button" class="link" aria-current=${String(isChosen)} onClick=${choose}>
		<span class="dot" style=${colour ? {background: colour} : {}}></span> <span class="name">${label}</span>
		<small>${period} · ${track.name}${comment && ` · ${comment}`}</small></button></li>`;
}
