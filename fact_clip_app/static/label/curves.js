/* Curves above the tracks: columns of features or of a table, with the zoom and the cursor of the timeline. */

import {html, useEffect, useRef, useState} from "../vendor/preact-htm.js";
import {Check, FileButton} from "../common/controls.js";
import {ask, tried, upload, videoPath} from "../common/requests.js";
import {state, update} from "../common/state.js";
import {timeline} from "./player.js";

const ROW = 44; // pixels of a curve, as in style.css
const MARGIN = 4; // pixels above and below a curve
const MOST = 8;
const WAIT = 80; // milliseconds after a change of the view before its outlines are fetched

/** The curves of a video, above its tracks. */
export function Curves({video}) {
	const {drawn} = state.curves;
	if (!drawn.length) return null;
	return html`<section id="curves" aria-label="Curves">
		<${Plot} key=${`${video.id} ${drawn.join("\n")}`} video=${video} names=${drawn} />
	</section>`;
}

/** The list of columns that can be drawn. */
export function CurveChooser({video}) {
	const {columns, drawn} = state.curves;
	const [part, setPart] = useState("");
	useEffect(() => {
		update({curves: {columns: [], drawn: []}});
		tried(async () => {
			const curves = await ask(videoPath(video.id, "/curves"));
			if (state.video?.id === video.id) update({curves});
		});
	}, [video.id]);
	const change = (body) => tried(async () => {
		const curves = await ask(videoPath(video.id, "/curves"), "PUT", body);
		if (state.video?.id === video.id) update({curves});
	});
	const turn = (name, isOn) => change({curves: isOn ? [...drawn, name] : drawn.filter((one) => one !== name)});
	const load = ([file]) => tried(async () => change({file: await upload(file)}));
	const matching = columns.filter((name) => name.toLowerCase().includes(part.toLowerCase())).slice(0, 100);
	return html`<details id="curve-chooser">
		<summary>Curves${drawn.length > 0 && html` <small>${drawn.length} shown</small>`}</summary>
		<div class="bar">
			<input id="curve-search" aria-label="Part of the name of a column" placeholder="Find a column" autocomplete="off"
				value=${part} onInput=${(event) => setPart(event.target.value)} />
			<${FileButton} id="curve-table" title="Load a table (.csv) …" onFiles=${load} />
		</div>
		<ul class="bar" id="curve-columns">
			${matching.map((name) => html`<li key=${name}><${Check} label=${name} checked=${drawn.includes(name)}
				disabled=${!drawn.includes(name) && drawn.length >= MOST} onChange=${(isOn) => turn(name, isOn)} /></li>`)}
		</ul>
		${columns.length === 0 && html`<p class="hint">This video has no features yet. Load a table with a column time and columns of numbers.</p>`}
		${columns.length > matching.length && html`<p class="hint">${columns.length - matching.length} more columns. Type a part of a name.</p>`}
	</details>`;
}

/** The curves, one below the other. They are drawn when the view or the cursor of the timeline has moved. */
function Plot({video, names}) {
	const canvas = useRef(null);
	const outlines = useRef(null);
	const [isCommon, setCommon] = useState(false);
	useEffect(() => {
		let drawn = "";
		let wanted = "";
		let fetched = "";
		let changedAt = 0;
		let animation = 0;
		let isOpen = true;
		const fetchOutlines = async (view) => {
			fetched = view;
			const {from, to, left, right} = timeline.range;
			const margin = to - from; // so that panning shows something at once
			const bins = Math.min(3 * Math.max(right - left, 100), 8000);
			const query = new URLSearchParams({start: from - margin, stop: to + margin, bins});
			const answer = await tried(() => ask(videoPath(video.id, `/curves/outlines?${query}`)));
			if (isOpen && answer) {
				outlines.current = answer;
				drawn = "";
			}
		};
		const frame = (now) => {
			animation = requestAnimationFrame(frame);
			if (!timeline || !canvas.current) return;
			const {from, to} = timeline.range;
			const view = `${from} ${to} ${canvas.current.clientWidth}`;
			if (view !== wanted) [wanted, changedAt] = [view, now];
			if (view !== fetched && (fetched === "" || now - changedAt > WAIT)) fetchOutlines(view);
			const drawing = `${view} ${timeline.time}`;
			if (drawing === drawn) return;
			drawn = drawing;
			draw(canvas.current, outlines.current, names.length, isCommon);
		};
		animation = requestAnimationFrame(frame);
		return () => {
			isOpen = false;
			cancelAnimationFrame(animation);
		};
	}, [video.id, isCommon]);
	const seek = (event) => {
		const {from, to, left, right} = timeline.range;
		const x = event.clientX - canvas.current.getBoundingClientRect().left;
		const share = (x - left) / (right - left);
		if (share >= 0) timeline.seek(from + Math.min(share, 1) * (to - from));
	};
	return html`<div id="curve-plot">
		<canvas ref=${canvas} style=${{height: `${names.length * ROW}px`}} role="img" aria-label=${`Curves: ${names.join(", ")}`} onClick=${seek}></canvas>
		<ul id="curve-names">${names.map((name) => html`<li key=${name} title=${name}>${name}</li>`)}</ul>
		<button type="button" id="curve-scale" aria-pressed=${String(isCommon)} onClick=${() => setCommon(!isCommon)}
			title="Draw all curves with one scale, or each with its own">Same scale</button>
	</div>`;
}

function draw(canvas, outlines, count, isCommon) {
	const ratio = globalThis.devicePixelRatio || 1;
	const [width, height] = [canvas.clientWidth, count * ROW];
	canvas.width = Math.round(width * ratio);
	canvas.height = Math.round(height * ratio);
	const pen = canvas.getContext("2d");
	pen.scale(ratio, ratio);
	const style = getComputedStyle(canvas);
	const {from, to, left, right} = timeline.range;
	const pixels = (seconds) => left + (seconds - from) / (to - from) * (right - left);
	pen.save();
	pen.beginPath();
	pen.rect(left, 0, right - left, height);
	pen.clip();
	const curves = outlines?.curves ?? [];
	const common = {least: Math.min(...curves.map(({least}) => least)), most: Math.max(...curves.map(({most}) => most))};
	pen.fillStyle = style.color;
	for (const [row, curve] of curves.entries()) {
		drawCurve(pen, curve, {...(isCommon ? common : curve), top: row * ROW, outlines, pixels});
	}
	pen.restore();
	pen.fillStyle = style.getPropertyValue("--line");
	for (let row = 1; row <= count; row++) pen.fillRect(0, row * ROW - 1, width, 1);
	pen.fillStyle = style.getPropertyValue("--accent");
	const x = pixels(timeline.time);
	if (x >= left && x <= right) pen.fillRect(x - 0.5, 0, 1, height);
}

/** Draw a curve: in each bin a line from its smallest to its largest value. */
function drawCurve(pen, curve, {least, most, top, outlines, pixels}) {
	const span = most - least || 1;
	const y = (value) => top + MARGIN + (1 - (value - least) / span) * (ROW - 2 * MARGIN);
	const step = (outlines.stop - outlines.start) / curve.low.length;
	let last = null; // the bin before, which the line comes from
	for (const [bin, low] of curve.low.entries()) {
		if (low === null) {
			last = null;
			continue;
		}
		let [upper, lower] = [y(curve.high[bin]), y(low)];
		if (last) [upper, lower] = [Math.min(upper, last.lower), Math.max(lower, last.upper)];
		const x = pixels(outlines.start + bin * step);
		pen.fillRect(x, upper, Math.max(pixels(outlines.start + (bin + 1) * step) - x, 1), Math.max(lower - upper, 1));
		last = {upper: y(curve.high[bin]), lower: y(low)};
	}
}
