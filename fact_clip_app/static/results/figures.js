/* The figures at the top of the results: an ethogram and the time of each class as bars, and the plots as files. */

import {html, useEffect, useState} from "../vendor/preact-htm.js";
import {NumberField, Scroll, Select} from "../common/controls.js";
import {download, tried} from "../common/requests.js";
import {state} from "../common/state.js";

const MOST = 60; // tracks of the ethogram on the page, which is drawn again after each change
const PLOTS = {
	ethogram: "Ethogram of all videos",
	budget: "Time of each class",
	bins: "Time in bins",
	transitions: "Transitions",
};

/** `answer` is the summary of the project, or null until it is there. */
export function Figures({filter, answer}) {
	return html`<section aria-labelledby="figures-title" id="figures-box">
		<h2 id="figures-title">Ethogram and time of each class</h2>
		<div class="figures">
			<${Plot} filter=${filter} nRows=${new Set(answer?.time.map(({video}) => video)).size} />
			<${Bars} rows=${answer?.time ?? []} />
		</div>
	</section>`;
}

function Plot({filter, nRows}) {
	const [name, setName] = useState("ethogram");
	const [problem, setProblem] = useState(false);
	const [bins, setBins] = useState(60); // seconds
	const values = {...filter, ...(name === "bins" && bins > 0 ? {bins} : {})};
	const path = (format, more = {}) => `/api/plots/${name}.${format}?${new URLSearchParams({...values, ...more})}`;
	const source = path("svg", {...name === "ethogram" ? {most: MOST} : {}, of: state.project.stamp});
	useEffect(() => setProblem(false), [source]);
	const save = (format) => tried(() => download(path(format)));
	const isCut = name === "ethogram" && nRows > MOST + 1; // one row is for all videos
	return html`<div class="plot">
		<div class="bar">
			<${Select} label="Plot" id="plot-name" value=${name} options=${Object.entries(PLOTS)} onChange=${setName} />
			${name === "bins" && html`<${NumberField} label="Seconds of a bin" id="plot-bins" min="0.1" step="any" value=${bins} onInput=${setBins} />`}
			<button type="button" class="main" id="plot-svg" disabled=${problem} onClick=${() => save("svg")}>Download as SVG</button>
			<button type="button" id="plot-png" disabled=${problem} onClick=${() => save("png")}>Download as PNG</button>
		</div>
		${problem ? html`<p class="hint" id="no-plot">${name === "bins" ? "There is nothing to plot yet, or the bins are too short." : "There is nothing to plot yet."}</p>`
			: html`<${Scroll} label=${PLOTS[name]} isTall><img id="plot" src=${source} alt=${PLOTS[name]} onError=${() => setProblem(true)} /><//>`}
		<p class="hint" id="plot-cut" hidden=${!isCut || problem}>The page shows the first ${MOST} tracks. The files contain all tracks.</p>
	</div>`;
}

/** The time of each class in all videos, longest first, and how often it occurs. */
function Bars({rows}) {
	const name = rows.some(({video}) => video === "all") ? "all" : rows.at(-1)?.video; // a single video has no row for all
	const classes = rows.filter(({video, count}) => video === name && count);
	if (!classes.length) return null;
	const longest = Math.max(...classes.map(({seconds}) => seconds)) || 1;
	return html`<div class="bars">
		<p class="hint">Seconds of each class, and its percentage of the labelled time. A class without a duration shows its number of point events.</p>
		<${Scroll} label="Time of each class" isTall><ol id="bars">${classes.map(({label, seconds, share, count}) => html`<li key=${label}>
			<span class="name">${label}</span>
			<span class="bar-length"><span style=${{width: `${100 * seconds / longest}%`, background: state.project.colours[label]?.colour}}></span></span>
			<span class="bar-number">${seconds ? `${seconds.toFixed(1)} s, ${share.toFixed(1)} %` : `${count} ×`}</span></li>`)}</ol><//>
	</div>`;
}
