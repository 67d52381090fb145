/* The panel where labels are drawn, counted, saved and compared. */

import {html, useState} from "../vendor/preact-htm.js";
import {asPairs, Check, FileButton, Select, useAnswer} from "../common/controls.js";
import {loadLabels} from "../common/label_files.js";
import {download, tried, videoPath, viewQuery} from "../common/requests.js";
import {currentTrack, fault, say, state} from "../common/state.js";
import {Budget} from "./budget.js";
import {Compare} from "./compare.js";
import {Figures} from "./figures.js";

export function ResultsPanel() {
	const {project, video} = state;
	const people = [...new Set(project.videos.flatMap(({annotators}) => annotators))].sort();
	const [annotator, setAnnotator] = useState("");
	const [by, setBy] = useState("");
	const filter = {viewer: state.annotator, ...annotator ? {annotator} : {}};
	const [overview] = useAnswer(`/api/overview${viewQuery()}`);
	const budgetFilter = by ? {...filter, by} : filter;
	const [answer, problem] = useAnswer(`/api/summary?${new URLSearchParams(budgetFilter)}`);
	if (!project.videos.length) return html`<main id="results-panel" class="page" tabindex="-1"><p class="hint">Add videos first.</p></main>`;
	return html`<main id="results-panel" class="page" tabindex="-1">
		<${Head} people=${people} annotator=${annotator} setAnnotator=${setAnnotator} overview=${overview} />
		<${Figures} filter=${filter} answer=${answer} />
		<${Budget} filter=${budgetFilter} by=${by} setBy=${setBy} answer=${answer} problem=${problem} />
		<${Save} filter=${filter} />
		<${Compare} people=${people} />
		${overview && html`<${Methods} sentence=${overview.sentence} />`}
		${video?.command && html`<section aria-labelledby="command-title" id="command-box">
			<h2 id="command-title">The same on the command line</h2>
			<pre><code id="command">${video.command}</code></pre>
		</section>`}
	</main>`;
}

// --- the head ----------------------------------------------------------------------------------

/** How far the project is, and whose labels are shown. */
function Head({people, annotator, setAnnotator, overview}) {
	return html`<div class="bar">
		<h2 id="results-head">${overview ? factsOf(overview) : "Results"}</h2>
		${people.length > 0 && html`<${Select} label="Labels of" id="by" value=${annotator} options=${[["", "everybody"], ...asPairs(people)]}
			onChange=${setAnnotator} />`}
	</div>`;
}

function factsOf({complete, videos, people, kappa, alpha}) {
	const facts = [`${complete} of ${videos} video${videos === 1 ? "" : "s"} complete`];
	if (people.length) facts.push(people.length === 1 ? "1 person" : `${people.length} people`);
	if (kappa !== null) facts.push(`kappa ${kappa.toFixed(2)}`);
	if (alpha !== null) facts.push(`alpha ${alpha.toFixed(2)}`);
	return facts.join(", ");
}

/** A sentence about the project for a paper. */
function Methods({sentence}) {
	const copy = () => navigator.clipboard.writeText(sentence).then(
		() => say("Copied."), () => fault("The browser does not let this page copy. Select the sentence instead."),
	);
	return html`<section aria-labelledby="methods-title">
		<h2 id="methods-title">For a methods section</h2>
		<p id="methods" class="hint">${sentence}</p>
		<button type="button" class="main" id="copy-methods" onClick=${copy}>Copy this text</button>
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
			${project.model.exists && html`<${Check} id="with-drafts" label="with drafts, as a separate track" checked=${withDrafts}
				onChange=${setDrafts} />`}
		</div>
		<div class="bar"><${FileButton} id="load" title="Load label files …" onFiles=${load} /></div>
	</section>`;
}
