/* The table of the time budget, and its files. */

import {html, useState} from "../vendor/preact-htm.js";
import {asPairs, FileButton, NumberField, Scroll, Select} from "../common/controls.js";
import {refresh} from "../common/project.js";
import {ask, download, tried, upload} from "../common/requests.js";
import {say, state} from "../common/state.js";

const MOST_ROWS = 400; // of the table; its files have all rows

const HEAD = {
	video: "Video", label: "Class", seconds: "Seconds", share: "% of labelled", labelled: "Labelled", count: "Count", mean: "Mean (s)", deviation: "SD (s)", first: "First (s)",
};
const OF_VIDEO = ["video", "labelled"]; // columns with one value for all rows of a video

function cell(key, row) {
	const value = row[key];
	if (value === null || value === undefined) return "–";
	if (key === "labelled") return labelledTime(row);
	return ["video", "label", "count"].includes(key) ? String(value) : value.toFixed(2);
}

const labelledTime = ({labelled, duration}) => `${labelled.toFixed(1)} of ${duration.toFixed(1)} s`;

const SIGNS = {"": "", ascending: " ▲", descending: " ▼"};

/** Return the rows of the budget in the order that a person has chosen. Rows without a value come last. */
function sorted(rows, {key, way}) {
	if (!key) return rows;
	const sign = way === "ascending" ? 1 : -1;
	const compare = ([one, other]) => typeof one === "string" ? one.localeCompare(other) : one - other;
	const isEmpty = (row) => row[key] === null || row[key] === undefined;
	return rows.toSorted((one, other) => isEmpty(one) - isEmpty(other) || sign * compare([one[key], other[key]]));
}

/** `by` is the field of the groups, or "", and `answer` is the summary of the project, or null until it is there. */
export function Budget({filter, by, setBy, answer, problem}) {
	const allRows = answer?.time ?? [];
	const isGroup = ({video}) => by && video.startsWith(`${by}: `);
	const rows = allRows.filter((row) => row.count > 0 || isGroup(row));
	return html`<section aria-labelledby="budget-title">
		<h2 id="budget-title">Time budget</h2>
		<p class="fault">${problem}</p>
		<p class="hint" hidden=${rows.length || problem}>Nothing is labelled yet.</p>
		${rows.length > 0 && html`<${Files} filter=${filter} by=${by} setBy=${setBy} /><${Table} rows=${rows} />`}
		${answer && html`<${Remarks} answer=${answer} nZeros=${allRows.length - rows.length} annotator=${filter.annotator} />`}
	</section>`;
}

function Files({filter, by, setBy}) {
	const {fields} = state.project;
	const [bins, setBins] = useState(60);
	const save = (values) => tried(() => download(`/api/summary?${new URLSearchParams({...filter, ...values})}`));
	const loadFields = ([file]) => tried(async () => {
		await ask("/api/fields", "POST", {file: await upload(file), annotator: state.annotator});
		await refresh();
		say("The fields of the videos are loaded.");
	});
	return html`<div class="bar">
		<button type="button" class="main" id="budget-csv" onClick=${() => save({format: "csv", table: "time"})}>Download as CSV</button>
		<button type="button" id="budget-xlsx" onClick=${() => save({format: "xlsx", table: "time"})}>Download as XLSX</button>
		<button type="button" id="segments-csv" title="One row per segment: times, origin (such as drawn or accepted draft), person, comment and fields"
			onClick=${() => save({format: "csv", table: "segments"})}>All segments as CSV</button>
		<${NumberField} label="Bins of" id="bins" min="0.1" step="any" value=${bins} onInput=${setBins} /> s
		<button type="button" id="bins-csv" disabled=${!(bins > 0)} title="One row per video, bin and class"
			onClick=${() => save({format: "csv", table: "bins", bins})}>Time in bins as CSV</button>
		<span title="A CSV file with the column video, and one column per field, such as treatment, sex or day">
			<${FileButton} id="fields" title="Load fields of videos …" onFiles=${loadFields} /></span>
		${fields.length > 0 && html`<${Select} label="Group by" id="group-by" value=${by} options=${[["", "nothing"], ...asPairs(fields)]}
			onChange=${setBy} />`}
	</div>`;
}

/** The rows of the budget. What is the same in all rows stands above the table, and once per video otherwise. */
function Table({rows}) {
	const [order, setOrder] = useState({});
	const sortBy = (key) => setOrder({key, way: order.key === key && order.way === "descending" ? "ascending" : "descending"});
	const isSingle = rows.every(({video}) => video === rows[0].video);
	const keys = Object.keys(HEAD).filter((key) => !isSingle || !OF_VIDEO.includes(key));
	const shown = sorted(rows, order).slice(0, MOST_ROWS);
	const isRepeated = (key, index) => OF_VIDEO.includes(key) && index > 0 && shown[index - 1].video === shown[index].video;
	const sign = (key) => SIGNS[order.key === key ? order.way : ""];
	return html`
		${isSingle && html`<p class="hint" id="single">${rows[0].video}: ${labelledTime(rows[0])} labelled</p>`}
		<${Scroll} label="Time budget" isTall><table id="budget-table">
			<thead><tr>${keys.map((key) => html`<th key=${key} scope="col" class=${`of-${key}`} aria-sort=${order.key === key ? order.way : "none"}>
				<button type="button" class="quiet" onClick=${() => sortBy(key)}>${HEAD[key]}${sign(key)}</button></th>`)}</tr></thead>
			<tbody>${shown.map((row, index) => html`<tr key=${`${row.video} ${row.label}`}>
				${keys.map((key) => html`<td key=${key} class=${`of-${key}`}>${isRepeated(key, index) ? "" : cell(key, row)}</td>`)}</tr>`)}</tbody>
		</table><//>
		<p class="hint" id="more-rows" hidden=${rows.length <= MOST_ROWS}>The page shows ${MOST_ROWS} of ${rows.length} rows. The files contain all rows.</p>`;
}

const MOST_NAMES = 5;

/** Return some names as a line, with the number of the others. */
function listed(names) {
	const rest = names.length - MOST_NAMES;
	return rest > 0 ? `${names.slice(0, MOST_NAMES).join(", ")} and ${rest} more` : names.join(", ");
}

/** What the table counts twice, and what it leaves out. */
function Remarks({answer: {several = [], unrated = [], unowned = []}, nZeros, annotator}) {
	const {length} = state.project.videos;
	return html`
		<p class="hint" id="several" hidden=${!several.length} title=${several.join(", ")}>These videos count once for each of their tracks,
			here and in the plots: ${listed(several)}. You can choose whose labels count.</p>
		<p class="hint" id="unrated" hidden=${!unrated.length} title=${unrated.join(", ")}>${unrated.length} of ${length} videos have no rows,
			because ${annotator ? `${annotator} has not` : "nobody has"} labelled them.
			<span hidden=${!unowned.length}> A fully labelled track without an owner is in ${listed(unowned)}:
			mark it again under your name.</span></p>
		<p class="hint" id="zeros" hidden=${!nZeros}>The files also have ${nZeros} rows of zeros, for classes that do not occur in a video.</p>`;
}
