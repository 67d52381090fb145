/* The panel where labels are saved, counted, drawn and compared. */

import {html, useEffect, useRef, useState} from "./vendor/preact-htm.js";
import {asPairs, Check, FileButton, Scroll, Select} from "./controls.js";
import {loadLabels} from "./files.js";
import {ask, download, tried, upload, videoPath} from "./requests.js";
import {predictionSettings, refresh} from "./session.js";
import {currentTrack, state, update} from "./state.js";

export function ResultsPanel() {
	const {project, video} = state;
	const people = [...new Set(project.videos.flatMap(({annotators}) => annotators))].sort();
	const [annotator, setAnnotator] = useState("");
	const filter = {viewer: state.annotator, ...annotator ? {annotator} : {}};
	if (!project.videos.length) return html`<main id="results-panel" class="page" tabindex="-1"><p class="hint">Add videos first.</p></main>`;
	return html`<main id="results-panel" class="page" tabindex="-1">
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

// --- label files -------------------------------------------------------------------------------

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
			<${Select} label="Format" id="format" value=${format} options=${asPairs(project.formats)} onChange=${setFormat} />
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

/** Return an answer of the server that is fetched again whenever the project changes. */
function useAnswer(path) {
	const [answer, setAnswer] = useState(null);
	const [problem, setProblem] = useState("");
	useEffect(() => {
		let isCurrent = true;
		ask(path).then((tree) => {
			if (!isCurrent) return;
			setAnswer(tree);
			setProblem("");
		}, (error) => isCurrent && setProblem(error.message));
		return () => {
			isCurrent = false;
		};
	}, [path, state.project.stamp]);
	return [answer, problem];
}

function Budget({filter}) {
	const query = new URLSearchParams(filter);
	const [answer, problem] = useAnswer(`/api/summary?${query}`);
	const rows = answer?.time ?? [];
	const several = answer?.several ?? [];
	const save = (format) => tried(() => download(`/api/summary?${new URLSearchParams({...filter, format})}`));
	return html`<section aria-labelledby="budget-title">
		<h2 id="budget-title">Time budget</h2>
		<p class="fault">${problem}</p>
		<p class="hint" hidden=${rows.length || problem}>Nothing is labelled yet.</p>
		<p class="hint" id="several" hidden=${!several.length}>Counted once for each of their tracks, here and in the plots: ${several.join(", ")}.
			Choose whose labels count above.</p>
		<div class="bar" hidden=${!rows.length}>
			<button type="button" id="budget-csv" onClick=${() => save("csv")}>Download as CSV</button>
			<button type="button" id="budget-xlsx" onClick=${() => save("xlsx")}>Download as XLSX</button>
		</div>
		<${Scroll} label="Time budget" isTall><table id="budget-table" hidden=${!rows.length}>
			<thead><tr>${Object.values(HEAD).map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>
			<tbody>${rows.map((row) => html`<tr key=${`${row.video} ${row.label}`}>
				${Object.keys(HEAD).map((key) => html`<td>${cell(key, row)}</td>`)}</tr>`)}</tbody>
		</table><//>
	</section>`;
}

// --- plots -------------------------------------------------------------------------------------

const PLOTS = {
	ethogram: "Ethogram of all videos",
	budget: "Time of each class",
	transitions: "Transitions",
	learning: "Learning curve of the trainings",
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

// --- two labellings ----------------------------------------------------------------------------

const FIGURES = {
	frame_accuracy: ["Frame agreement (%)", 1], "f1@10": ["F1@10", 1], "f1@25": ["F1@25", 1], "f1@50": ["F1@50", 1],
	edit: ["Edit", 1], kappa: ["Cohen's kappa", 3], edges_s: ["Mean boundary error (s)", 2], icc: ["ICC of total times", 3],
};

function Compare({people}) {
	const {video} = state;
	const [isAll, setAll] = useState(false);
	const tracks = video?.tracks.map(({name}) => [`track ${name}`, `track ${name}`]) ?? [];
	const persons = people.map((name) => [`annotator ${name}`, `labels of ${name}`]);
	const more = [["predicted", "prediction"], ["shown", "labels over the prediction"]];
	const files = state.files.map(({key, name}) => [key, name]);
	const predictions = state.project.model.exists ? more : [];
	const sides = [...tracks, ...persons, ...isAll ? [] : [...predictions, ...files]];
	const [first, setFirst] = useState("");
	const [second, setSecond] = useState("");
	const [given, setGiven] = useState(null); // the last answer, with its question and the labels that it is of
	const values = sides.map(([value]) => value);
	const left = values.includes(first) ? first : values[0];
	const right = values.includes(second) ? second : values[1] ?? values[0];
	const question = JSON.stringify([left, right, isAll, video?.id]);
	const answer = given?.question === question ? given : null;
	const compare = () => tried(async () => {
		await refresh();
		const labels = labelsKey();
		const pair = {first: left, second: right};
		const result = isAll
			? await ask(`/api/agreement?${new URLSearchParams({...pair, annotator: state.annotator})}`)
			: await ask(videoPath(video.id, "/compare"), "POST", {...pair, annotator: state.annotator});
		setGiven({...result, question, labels});
	});
	const load = (files) => tried(async () => {
		const loaded = [];
		for (const file of files) loaded.push({key: await upload(file), name: file.name});
		update({files: [...state.files, ...loaded]});
		setSecond(loaded.at(-1).key);
	});
	if (!video) return null;
	return html`<section aria-labelledby="compare-title">
		<h2 id="compare-title">Compare two labellings</h2>
		<div class="bar">
			<${Select} label="First" id="first" value=${left} options=${sides} onChange=${setFirst} />
			<${Select} label="Second" id="second" value=${right} options=${sides} onChange=${setSecond} />
			<${Check} id="all-videos" label="over all videos" checked=${isAll} onChange=${setAll} />
			<button type="button" id="compare" onClick=${compare}>Compare</button>
			<${FileButton} id="label-files" title="Label files …" onFiles=${load} />
		</div>
		${answer && answer.labels !== labelsKey() && html`<p class="fault" id="outdated">Labels or predictions have changed since. Compare again.</p>`}
		${answer && html`<p class="fault" id="compare-warnings" hidden=${!answer.warnings?.length}>${answer.warnings?.join("\n")}</p>`}
		${answer && html`<${Figures} figures=${answer.figures} />`}
		${answer?.shared?.length > 0 && html`<p class="fault" id="shared">Left out, since people share a track there: ${answer.shared.join(", ")}.</p>`}
		${answer && html`<${Incomplete} videos=${answer.videos ?? [video]} />`}
		${answer?.videos && html`<${Agreement} answer=${answer} />`}
		${answer?.rows && html`<${Differences} answer=${answer} video=${video} />`}
	</section>`;
}

/** Return a string that changes when labels or predictions may have changed. */
function labelsKey() {
	const revisions = state.project.videos.map(({revision}) => revision);
	return JSON.stringify([revisions, predictionSettings()]);
}

function Figures({figures}) {
	return html`<table id="figures"><caption>Agreement</caption><tbody>
		${Object.entries(FIGURES).map(([key, [title, digits]]) => html`<tr key=${key}>
			<th scope="row">${title}</th><td>${figures[key]?.toFixed(digits) ?? "–"}</td></tr>`)}
	</tbody></table>`;
}

/** Say whose unlabelled frames are not known to be background, though they count as that. */
function Incomplete({videos}) {
	const compared = new Set(videos.map(({id}) => id));
	const names = state.project.videos.filter(({id, complete}) => compared.has(id) && !complete).map(({name}) => name);
	if (!names.length) return null;
	return html`<p class="hint" id="incomplete">Unlabelled frames count as background, though these videos are not marked as fully labelled:
		${` ${names.join(", ")}`}.</p>`;
}

/** Agreement of each video, and which classes two people confuse. */
function Agreement({answer}) {
	const {names, seconds} = answer.confusion;
	return html`
		<table id="agreement"><caption>Cohen's kappa of each video</caption><tbody>
			${answer.videos.map(({id, name, figures}) => html`<tr key=${id}><th scope="row">${name}</th><td>${figures.kappa?.toFixed(3) ?? "–"}</td></tr>`)}
		</tbody></table>
		<${Scroll} label="Confusion"><table id="confusion"><caption>Seconds: first labelling down, second one across</caption>
			<thead><tr><td></td>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
			<tbody>${names.map((name, row) => html`<tr key=${name}><th scope="row">${name}</th>
				${seconds[row].map((value, column) => html`<td class=${row === column ? "same" : ""}>${value ? value.toFixed(1) : "·"}</td>`)}</tr>`)}
			</tbody></table><//>`;
}

function Differences({answer, video}) {
	const box = useRef(null);
	useEffect(() => {
		const {times} = video;
		const colours = {...answer.colours};
		for (const {label} of answer.rows.at(-1).segments) colours[label] ??= {colour: "#b0413e", number: null, index: -1};
		const rows = answer.rows.map(({name, segments}) => ({
			name,
			editable: false,
			segments: segments.map((part) => ({...part, start: times[part.start], stop: times[part.stop]})),
		}));
		const timeline = new globalThis.Timeline(box.current, {
			duration: times.at(-1), rows, colours, times, label: "Comparison", rowHeight: 34,
		});
		return () => timeline.destroy();
	}, [answer]);
	return html`<div id="comparison" ref=${box}></div>`;
}
