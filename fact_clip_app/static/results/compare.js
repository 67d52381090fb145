/* Two labellings side by side: how much they agree, and where they differ. */

import {html, useEffect, useRef, useState} from "../vendor/preact-htm.js";
import {Check, FileButton, Scroll, Select} from "../common/controls.js";
import {predictionSettings, refresh} from "../common/project.js";
import {ask, tried, upload, videoPath} from "../common/requests.js";
import {state, update} from "../common/state.js";

const FIGURES = {
	frame_accuracy: ["Frame agreement (%)", 1], "f1@10": ["F1@10", 1], "f1@25": ["F1@25", 1], "f1@50": ["F1@50", 1],
	edit: ["Edit", 1], kappa: ["Cohen's kappa", 3], edges_s: ["Mean boundary error (s)", 2], icc: ["ICC of total times", 3],
};

export function Compare({people}) {
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
	const [given, setGiven] = useState(null); // the last answer, with its question and the labels that it was computed from
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
			<button type="button" class="main" id="compare" onClick=${compare}>Compare</button>
			<${FileButton} id="label-files" title="Label files …" onFiles=${load} />
		</div>
		${answer && answer.labels !== labelsKey() && html`<p class="fault" id="outdated">Labels or predictions have changed since the comparison. Compare again.</p>`}
		${answer && html`<p class="fault" id="compare-warnings" hidden=${!answer.warnings?.length}>${answer.warnings?.join("\n")}</p>`}
		${answer && html`<${Figures} figures=${answer.figures} />`}
		${answer && html`<${Omissions} answer=${answer} />`}
		${answer?.shared?.length > 0 && html`<p class="fault" id="shared">These videos are left out, because people share a track or tracks of one person overlap: ${answer.shared.join(", ")}.</p>`}
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

/** What the figures leave out. */
function Omissions({answer: {seconds, omissions}}) {
	const {unrated_seconds: unrated, points, one_sided: oneSided, videos = [], unowned = []} = omissions;
	const lines = [`${seconds.toFixed(1)} s are compared.`];
	if (unrated >= 0.05) lines.push(`${unrated.toFixed(1)} s are not compared, because only one side has labelled them.`);
	if (points) lines.push(`${points} point events are not compared, because they have no duration.`);
	if (oneSided.length) lines.push(`These names are background on both sides, although only one side calls them background: ${oneSided.join(", ")}.`);
	if (videos.length) lines.push(`There is nothing to compare in these videos: ${videos.join(", ")}.`);
	if (unowned.length) lines.push(`These videos have a fully labelled track without an owner: ${unowned.join(", ")}.`);
	return html`<p class="hint" id="omissions">${lines.join(" ")}</p>`;
}

/** The videos in which only labelled time is compared. */
function Incomplete({videos}) {
	const compared = new Set(videos.map(({id}) => id));
	const names = state.project.videos.filter(({id, complete}) => compared.has(id) && !complete).map(({name}) => name);
	if (!names.length) return null;
	return html`<p class="hint" id="incomplete">Only labelled time is compared in these videos,
		because they are not marked as fully labelled: ${names.join(", ")}.</p>`;
}

/** Return the style of a cell: the more of its row it holds, the darker it is; agreement and confusion differ in colour. */
function shade(values, column, row) {
	const total = values.reduce((sum, value) => sum + value, 0);
	if (!values[column]) return {};
	const share = Math.round(45 * values[column] / total); // percent; more would hide the number
	const colour = row === column ? "var(--accent)" : "var(--fault)";
	return {background: `color-mix(in srgb, ${colour} ${share}%, transparent)`};
}

/** Agreement of each video, and which classes two people confuse. */
function Agreement({answer}) {
	const {names, seconds} = answer.confusion;
	return html`
		<table id="agreement"><caption>Cohen's kappa of each video</caption><tbody>
			${answer.videos.map(({id, name, figures}) => html`<tr key=${id}><th scope="row">${name}</th><td>${figures.kappa?.toFixed(3) ?? "–"}</td></tr>`)}
		</tbody></table>
		<${Scroll} label="Confusion"><table id="confusion"><caption>Seconds. Rows are the first labelling, and columns are the second one</caption>
			<thead><tr><td></td>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
			<tbody>${names.map((name, row) => html`<tr key=${name}><th scope="row">${name}</th>
				${seconds[row].map((value, column) => html`<td class=${row === column ? "same" : ""} style=${shade(seconds[row], column, row)}>
					${value ? value.toFixed(1) : "·"}</td>`)}</tr>`)}
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
