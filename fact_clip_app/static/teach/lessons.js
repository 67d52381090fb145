/* The examples of each class, and how well models have learned them: parts of the panel where models are trained. */

import {html} from "../vendor/preact-htm.js";
import {Scroll} from "../common/controls.js";
import {state} from "../common/state.js";
import {FEWEST} from "./next_step.js";

const SIZE = {width: 460, height: 180, left: 44, top: 22, bottom: 28}; // pixels

/** The number of examples of each class, and the classes that need more. */
export function Examples() {
	const {actions, videos} = state.project;
	const classes = actions.filter(({background}) => !background);
	if (!classes.length) return null;
	const most = Math.max(1, ...classes.map(({count}) => count));
	const aside = videos.filter(({tests}) => tests).map(({name}) => name);
	return html`<section aria-labelledby="examples-title">
		<h2 id="examples-title">Examples</h2>
		<p class="hint">Each doubling of the examples helps about as much as the previous one, so label more of the classes that have few.</p>
		<${Scroll} label="Examples of each class" isTall><table id="examples">
			<thead><tr><th scope="col">Class</th><th scope="col">Segments</th><th scope="col">Videos</th><td></td><td></td></tr></thead>
			<tbody>${classes.map(({name, count, videos: inVideos}) => html`<tr key=${name}>
				<th scope="row">${name}</th><td>${count}</td><td>${inVideos}</td>
				<td><progress max=${most} value=${count} aria-label=${`Segments of ${name}`}></progress></td>
				<td class="remark">${needOf(count, inVideos)}</td></tr>`)}</tbody>
		</table><//>
		<p class="hint" id="aside" hidden=${!aside.length}>These videos are set aside to test models, which never learn from them: ${aside.join(", ")}.</p>
	</section>`;
}

function needOf(count, inVideos) {
	if (count < FEWEST) return `needs more: fewer than ${FEWEST}`;
	return inVideos < 2 ? "needs a second video: a class in one video is either learned or tested" : "";
}

/** The percentage of time that each trained model labels correctly on videos that were set aside. */
export function Curve({runs}) {
	const points = Object.entries(runs).filter(([, {after}]) => after).map(([name, {after}]) => ({name, share: after.right}));
	if (points.length < 2) return null;
	const {width, height, left, top, bottom} = SIZE;
	const x = (index) => left + 20 + index / (points.length - 1) * (width - left - 60);
	const y = (share) => top + (1 - share / 100) * (height - bottom - top);
	const words = points.map(({name, share}) => `${name} ${share.toFixed(0)} %`).join(", ");
	const line = points.map(({share}, index) => `${x(index)},${y(share)}`).join(" ");
	return html`<figure>
		<figcaption class="hint">Share of time labelled correctly in videos that were set aside, for each model</figcaption>
		<svg id="curve" role="img" aria-label=${words} viewBox=${`0 0 ${width} ${height}`} width=${width} height=${height}>
			${[0, 50, 100].map((share) => html`<line class="grid" x1=${left} x2=${width} y1=${y(share)} y2=${y(share)} />
				<text x=${left - 6} y=${y(share) + 4} text-anchor="end">${share} %</text>`)}
			<polyline points=${line} />
			${points.map(({name, share}, index) => html`<circle cx=${x(index)} cy=${y(share)} r="4" />
				<text x=${x(index)} y=${y(share) - 8} text-anchor="middle">${share.toFixed(0)}</text>
				<text x=${x(index)} y=${height - 6} text-anchor="middle">${name}</text>`)}
		</svg></figure>`;
}
