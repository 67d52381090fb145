/* The edge of a column next to the video, which is dragged or moved by arrow keys. */

import {html} from "../vendor/preact-htm.js";
import {setWidth, state, WIDTHS} from "../common/state.js";

const [LEAST, MOST] = [180, 480]; // pixels
const STEP = 16; // pixels, of an arrow key

export function Splitter({side, label}) {
	const width = state.widths[side];
	const sign = side === "left" ? 1 : -1;
	const set = (pixels) => setWidth(side, Math.round(Math.min(Math.max(pixels, LEAST), MOST)));
	const begin = (event) => event.target.setPointerCapture(event.pointerId);
	const drag = ({target, pointerId, clientX}) => {
		if (target.hasPointerCapture(pointerId)) set(side === "left" ? clientX : innerWidth - clientX);
	};
	const press = (event) => {
		const step = {ArrowLeft: -STEP, ArrowRight: STEP}[event.key];
		if (!step) return;
		set(width + sign * step);
		event.preventDefault();
	};
	return html`<div class=${`splitter ${side}`} role="separator" tabindex="0" aria-orientation="vertical" aria-label=${label}
		aria-valuenow=${width} aria-valuemin=${LEAST} aria-valuemax=${MOST} title="Drag it, or press arrow keys. A double click resets it."
		onPointerDown=${begin} onPointerMove=${drag} onKeyDown=${press} onDblClick=${() => set(WIDTHS[side])}></div>`;
}
