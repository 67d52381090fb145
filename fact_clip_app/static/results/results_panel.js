/* The panel where labels are saved, counted, drawn and compared. */

import {html, useEffect, useState} from "../vendor/preact-htm.js";
import {asPairs, Check, FileButton, NumberField, Scroll, Select, useAnswer} from "../common/controls.js";
import {loadLabels} from "../common/label_files.js";
import {refresh} from "../common/project.js";
import {ask, download, tried, upload, videoPath, viewQuery} from "../common/requests.js";
import {currentTrack, fault, say, state} from "../common/state.js";
import {Compare} from "./compare.js";

export function ResultsPanel() {
	const {project, video} = state;
	const people = [...new Set(project.videos.flatMap(({annotators}) => annotators))].sort();
	const [annotator, setAnnotator] = useState("");
	const filter = {viewer: state.annotator, ...annotator ? {annotator} : {}};
	if (!project.videos.length) return html`<main id="results-panel" class="page" tabindex="-1"><p class="hint">Add videos first.</p></main>`;
	return html`<main id="results-panel" class="page" tabindex="-1">
		<${Head} />
		${people.length > 0 && html`<${Select} label="Labels of" id="by" value=${annotator} options=${[["", "everybody"], ...asPairs(people)]}
			onChange=${setAnnotator} />`}
		<${Save} filter=${filter} />
		<${Budget} filter=${filter} />
		<${Plots} filter=${filter} />
		<${Compare} people=${people} />
		${video?.command && html`<section aria-labelledby="command-title" id="command-box">
			<h2 id="command-title">The same on the command line</h2>
			<pre><code id="command">${video.command}</code></pre>
		</section>`}
	</main>`;
}

// --- the head ----------------------------------------------------------------------------------

/** How far the project is, and a sentence about it for a paper. */
function Head() {
	const [answer] = useAnswer(`/api/overview${viewQuery()}`);
	if (!answer) return html`<h2 id="results-head">Results</h2>`;
	const {complete, videos, people, kappa, alpha} = answer;
	const facts = [`${complete} of ${videos} video${videos === 1 ? "" : "s"} complete`];
	if (people.length) facts.push(people.length === 1 ? "1 person" : `${people.length} people`);
	if (kappa !== null) facts.push(`kappa ${kappa.toFixed(2)}`);
	if (alpha !== null) facts.push(`alpha ${alpha.toFixed(2)}`);
	const copy = () => navigator.clipboard.writeText(answer.sentence).then(
		() => say("Copied."), () => fault("The browser does not let this page copy. Select the sentence instead."),
	);
	return html`<section aria-labelledby="results-head">
		<h2 id="results-head">${facts.join(", ")}</h2>
		<p id="methods" class="hint">${answer.sentence}</p>
		<button type="button" id="copy-methods" onClick=${copy}>Copy this sentence for a methods section</button>
	</section>`;
}

// --- label files -------------------------------------------------------------------------------

const FORMATS = {
	csv: "Table of segments (.csv)", "frames.csv": "Table of video frames (.csv)", "binary.csv": "Table of 0 and 1 for each video frame (.csv)", json: "JSON (.json)", jsonl: "JSON lines (.jsonl)",
	txt: "A label for each frame (.txt)", vtt: "WebVTT subtitles (.vtt)", srt: "SubRip subtitles (.srt)",
	eaf: "ELAN (.eaf)", nwb: "Neurodata Without Borders (.nwb)", boris: "BORIS project (.boris)",
	"label-studio": "Label Studio (.json)", via: "VIA (.json)",
};

function Save({filter}) {
	const {project, video} = state;
	const [format, setFormat] = useState("csv");
	const [withBackground, setBackground] = useState(false);
	const [withDrafts, setDrafts] = useState(false);
	const options = {format, background: withBackground ? "1" : "0", drafts: withDrafts ? "1" : "0", ...filter};
	const query = (more = {}) => `?${new URLSearchParams({...options, ...more})}`;
	const saveTrack = () => download(videoPath(video.id, `/export${query({track: currentTrack().id})}`));
	const load = (files) => tried(async () => {
		for (const file of files) await loadLabels(file);
	});
	return html`<section aria-labelledby="save-title">
		<h2 id="save-title">Label files</h2>
		<div class="bar">
			<button type="button" class="main" id="download-all" onClick=${() => tried(() => download(`/api/export${query()}`))}>
				Download all videos</button>
			<button type="button" id="download" disabled=${!video} onClick=${() => tried(saveTrack)}>
				${video ? `Download track ${currentTrack().name} of ${video.name}` : "Download a track"}</button>
			<${Select} label="Format" id="format" value=${format} options=${project.formats.map((name) => [name, FORMATS[name] ?? name])}
				onChange=${setFormat} />
			<${Check} id="with-background" label="with background" checked=${withBackground} onChange=${setBackground} />
			${project.model.exists && html`<${Check} id="with-drafts" label="with drafts, as a track of their own" checked=${withDrafts}
				onChange=${setDrafts} />`}
		</div>
		<div class="bar"><${FileButton} id="load" title="Load label files …" onFiles=${load} /></div>
	</section>`;
}

// --- time budget -------------------------------------------------------------------------------

const HEAD = {
	video: "Video", label: "Class", seconds: "Seconds", share: "% of labelled", labelled: "Labelled", count: "Count", mean: "Mean (s)", deviation: "SD (s)", first: "First (s)",
};

function cell(key, row) {
	const value = row[key];
	if (value === null || value === undefined) return "–";
	if (key === "labelled") return `${value.toFixed(1)} of ${row.duration.toFixed(1)} s labelled`;
	return ["video", "label", "count"].includes(key) ? String(value) : value.toFixed(2);
}

const SIGNS = {"": "", ascending: " ▲", descending: " ▼"};

/** Return the rows of the budget in the order that a person has chosen; rows without a value come last. */
function sorted(rows, {key, way}) {
	if (!key) return rows;
	const sign = way === "ascending" ? 1 : -1;
	const compare = ([one, other]) => typeof one === "string" ? one.localeCompare(other) : one - other;
	const isEmpty = (row) => row[key] === null || row[key] === undefined;
	return rows.toSorted((one, other) => isEmpty(one) - isEmpty(other) || sign * compare([one[key], other[key]]));
}

function Budget({filter: people}) {
	const {project} = state;
	const {fields} = project;
	const [by, setBy] = useState("");
	const [order, setOrder] = useState({});
	const [bins, setBins] = useState(60);
	const sortBy = (key) => setOrder({key, way: order.key === key && order.way === "descending" ? "ascending" : "descending"});
	const filter = by ? {...people, by} : people;
	const query = new URLSearchParams(filter);
	const [answer, problem] = useAnswer(`/api/summary?${query}`);
	const allRows = answer?.time ?? [];
	const isGroup = ({video}) => by && video.startsWith(`${by}: `);
	const rows = allRows.filter((row) => row.count > 0 || isGroup(row));
	const nZeros = allRows.length - rows.length;
	const several = answer?.several ?? [];
	const unrated = answer?.unrated ?? [];
	const unowned = answer?.unowned ?? [];
	const save = (format, table = "time") => tried(() => download(`/api/summary?${new URLSearchParams({...filter, format, table})}`));
	const saveBins = () => tried(() => download(`/api/summary?${new URLSearchParams({...filter, format: "csv", table: "bins", bins})}`));
	const loadFields = ([file]) => tried(async () => {
		await ask("/api/fields", "POST", {file: await upload(file), annotator: state.annotator});
		await refresh();
		say("The fields of the videos are loaded.");
	});
	return html`<section aria-labelledby="budget-title">
		<h2 id="budget-title">Time budget</h2>
		<p class="fault">${problem}</p>
		<p class="hint" hidden=${rows.length || problem}>Nothing is labelled yet.</p>
		<p class="hint" id="several" hidden=${!several.length}>Counted once for each of their tracks, here and in the plots: ${several.join(", ")}.
			Choose whose labels count above.</p>
		<p class="hint" id="unrated" hidden=${!unrated.length} title=${unrated.join(", ")}>${unrated.length} of ${project.videos.length} videos
			have no rows, since ${people.annotator ? `${people.annotator} has` : "nobody has"} not labelled them.
			<span hidden=${!unowned.length}> Nobody is named for a track that is marked as fully labelled in ${unowned.join(", ")}:
			mark it again under your name.</span></p>
		<p class="hint" id="zeros" hidden=${!nZeros}>The downloads have ${nZeros} further rows of zeros, for classes that a video does not show.</p>
		<div class="bar" hidden=${!rows.length}>
			<button type="button" id="budget-csv" onClick=${() => save("csv")}>Download as CSV</button>
			<button type="button" id="budget-xlsx" onClick=${() => save("xlsx")}>Download as XLSX</button>
			<button type="button" id="segments-csv" title="A row for each segment: times, origin (drawn, accepted draft, ...), person, comment, fields"
				onClick=${() => save("csv", "segments")}>All segments as CSV</button>
			<${NumberField} label="Bins of" id="bins" min="0.1" step="any" value=${bins} onInput=${setBins} /> s
			<button type="button" id="bins-csv" disabled=${!(bins > 0)} title="A row for each video, bin and class"
				onClick=${saveBins}>Time in bins as CSV</button>
			<span title="A CSV with the column video, and a column for each field, as treatment, sex or day">
				<${FileButton} id="fields" title="Load fields of videos …" onFiles=${loadFields} /></span>
			${fields.length > 0 && html`<${Select} label="Group by" id="group-by" value=${by} options=${[["", "nothing"], ...asPairs(fields)]}
				onChange=${setBy} />`}
		</div>
		<${Scroll} label="Time budget" isTall><table id="budget-table" hidden=${!rows.length}>
			<thead><tr>${Object.entries(HEAD).map(([key, title]) => html`<th scope="col" aria-sort=${order.key === key ? order.way : "none"}>
				<button type="button" class="quiet" onClick=${() => sortBy(key)}>${title}${SIGNS[order.key === key ? order.way : ""]}</button></th>`)}</tr></thead>
			<tbody>${sorted(rows, order).map((row) => html`<tr key=${`${row.video} ${row.label}`}>
				${Object.keys(HEAD).map((key) => html`<td>${cell(key, row)}</td>`)}</tr>`)}</tbody>
		</table><//>
	</section>`;
}

// --- plots -------------------------------------------------------------------------------------

const PLOTS = {
	ethogram: "Ethogram of all videos",
	budget: "Time of each class",
	transitions: "Transitions",
};

function Plots({filter}) {
	const [name, setName] = useState("ethogram");
	const [problem, setProblem] = useState(false);
	const query = new URLSearchParams(filter);
	const path = (format) => `/api/plots/${name}.${format}?${query}`;
	const source = `${path("svg")}&of=${encodeURIComponent(state.project.stamp)}`;
	useEffect(() => setProblem(false), [source]);
	const save = (format) => tried(() => download(path(format)));
	return html`<section aria-labelledby="plots-title">
		<h2 id="plots-title">Plots</h2>
		<div class="bar">
			<${Select} label="Plot" id="plot-name" value=${name} options=${Object.entries(PLOTS)} onChange=${setName} />
			<button type="button" id="plot-svg" disabled=${problem} onClick=${() => save("svg")}>Download as SVG</button>
			<button type="button" id="plot-png" disabled=${problem} onClick=${() => save("png")}>Download as PNG</button>
		</div>
		${problem ? html`<p class="hint" id="no-plot">There is nothing to plot yet.</p>`
			: html`<img id="plot" src=${source} alt=${PLOTS[name]} onError=${() => setProblem(true)} />`}
	</section>`;
}
