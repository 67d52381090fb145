/* Draws the rows of timeline.js on its canvas. It knows the view alone: no pointer, no video.

How a segment looks follows from its `kind`, without colour too:
label     solid, with a full outline
accepted  solid, with a dashed line inside; a narrow one is lower
draft     light and hatched, with a dashed outline
(none)    a prediction: the lower its confidence, the lighter; a line below if it was corrected */
class TimelinePainter {
	static #STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800]; // seconds between marks
	static #LETTER = 7; // pixels
	static STRIP = 18; // pixels: height of the overview
	static GRIP = 6; // pixels inside a segment: the width of the handle of an edge

	constructor(canvas, scale, {colours, rowHeight, headWidth, unit}) {
		this.canvas = canvas;
		this.scale = scale;
		this.colours = colours;
		this.rowHeight = rowHeight;
		this.headWidth = headWidth;
		this.unit = unit;
		this.strip = null; // the overview, until the rows change
		this.hatches = new Map();
	}

	/* view: {height, rows, chosen, hasHandles, hasOverview}. */
	paint(view, isPrint) {
		this.view = view;
		this.#prepare(isPrint);
		this.#drawAxis();
		if (view.hasOverview) this.#drawOverview();
		view.rows.forEach((row) => this.#drawRow(row));
		if (view.chosen) this.#drawFrame(view.rows[view.chosen.row], view.rows[view.chosen.row].segments[view.chosen.index]);
	}

	#prepare(isPrint) {
		const {canvas, scale, view} = this;
		const style = getComputedStyle(canvas);
		this.density = window.devicePixelRatio || 1;
		const width = Math.round(scale.width * this.density);
		const height = Math.round(view.height * this.density);
		this.pen = canvas.getContext("2d");
		if (canvas.width !== width || canvas.height !== height) {
			canvas.width = width;
			canvas.height = height;
		}
		this.pen.setTransform(this.density, 0, 0, this.density, 0, 0);
		this.pen.clearRect(0, 0, scale.width, view.height);
		this.pen.font = "12px system-ui, sans-serif";
		this.pen.textBaseline = "middle";
		this.accent = style.getPropertyValue("--tl-accent");
		const ink = isPrint ? "0 0 0" : style.color;
		this.ink = ink.match(/\d+/g).slice(0, 3).map(Number);
		const isDark = TimelineTools.inkOn(this.ink) === "#000";
		this.paper = isDark ? [24, 24, 24] : [255, 255, 255];
	}

	fit(words, room) {
		const letters = room / TimelinePainter.#LETTER;
		return words.length < letters ? words : `${words.slice(0, Math.max(letters - 1, 0))}…`;
	}

	#drawAxis() {
		const {pen, scale, unit} = this;
		const least = 80 * scale.span / scale.width;
		const step = TimelinePainter.#STEPS.find((one) => one >= least) ?? 7200;
		const bottom = this.view.height - 9;
		pen.fillStyle = TimelineTools.css(this.ink);
		for (let count = Math.ceil(scale.from / step); count * step <= scale.to; count++) {
			const words = TimelineTools.clock(count * step, step < 1 ? 2 : 0, unit);
			const at = scale.x(count * step);
			const last = scale.width - TimelinePainter.#LETTER * (words.length + unit.length) - 8;
			pen.globalAlpha = 0.2;
			pen.fillRect(at, 0, 1, bottom - 8);
			pen.globalAlpha = 1;
			pen.fillText(words, TimelineTools.clamp(at - 3 * words.length, scale.left, last), bottom);
		}
		pen.fillText(unit, scale.width - TimelinePainter.#LETTER * unit.length, bottom);
	}

	#drawOverview() {
		const {pen, scale} = this;
		const width = scale.right - scale.left;
		if (this.strip?.width !== Math.round(width * this.density)) this.strip = this.#makeStrip(width);
		pen.clearRect(scale.left, 0, width, TimelinePainter.STRIP + 4);
		pen.drawImage(this.strip, scale.left, 2, width, TimelinePainter.STRIP);
	}

	#makeStrip(width) {
		const strip = document.createElement("canvas");
		strip.width = Math.round(width * this.density);
		strip.height = Math.round(TimelinePainter.STRIP * this.density);
		const pen = strip.getContext("2d");
		pen.fillStyle = TimelineTools.css(this.ink, 0.1);
		pen.fillRect(0, 0, strip.width, strip.height);
		const perSecond = strip.width / this.scale.duration;
		const {rows} = this.view;
		const {spans = [], instants = []} = rows.find(({isMain}) => isMain) ?? rows[0] ?? {};
		for (const {start, stop, label, kind} of [...spans, ...instants]) {
			const colour = this.colours[label]?.colour;
			pen.globalAlpha = kind === "draft" ? 0.4 : 1;
			pen.fillStyle = colour ?? TimelineTools.css(this.ink, 0.25);
			pen.fillRect(start * perSecond, 0, Math.max((stop - start) * perSecond, 1), strip.height);
		}
		return strip;
	}

	#drawRow(row) {
		const {pen, scale} = this;
		const middle = scale.left ? row.top + this.rowHeight / 2 : row.top - 7;
		pen.fillStyle = TimelineTools.css(this.ink);
		if (!scale.left || !this.headWidth) pen.fillText(this.fit(row.name, scale.left || scale.width), 3, middle);
		this.#drawSegments(row.spans, row.top, this.rowHeight);
		if (row.curve) this.#drawCurve(row.spans, row.top);
		this.#drawSegments(row.instants, row.top, this.rowHeight);
		if (row.raw) this.#drawSegments(row.raw, row.top + this.rowHeight + 1, 7);
	}

	#drawCurve(segments, top) { // the confidence of segments, 1 at the top
		const {pen, scale} = this;
		pen.strokeStyle = TimelineTools.css(this.ink);
		pen.lineWidth = 1.5;
		pen.beginPath();
		for (const one of segments.slice(Math.max(TimelineTools.lastStart(segments, scale.from), 0))) {
			if (one.start > scale.to) break;
			const {left, right} = this.boxOf(one, top, this.rowHeight);
			const level = top + 1 + (this.rowHeight - 2) * (1 - one.confidence);
			pen.lineTo(left, level);
			pen.lineTo(right, level);
		}
		pen.stroke();
	}

	#drawSegments(segments, top, tall) {
		const {scale} = this;
		const least = 1 / this.density; // a pixel: what is narrower than the way from the last one is left out
		let drawn = -1;
		for (let at = Math.max(TimelineTools.lastStart(segments, scale.from), 0); at < segments.length; at++) {
			const one = segments[at];
			if (one.start > scale.to) break;
			if (one.isCovered) continue;
			const box = this.boxOf(one, top, tall);
			if (box.wide <= 0 || box.right - drawn < least) continue;
			drawn = box.right;
			this.#drawSegment(one, box);
		}
	}

	boxOf({start, stop}, top, tall) {
		const {scale} = this;
		const isInstant = TimelineTools.isInstant({start, stop});
		const left = Math.max(scale.x(start), scale.left);
		const right = Math.min(isInstant ? scale.x(start) + 2.5 : scale.x(stop), scale.right);
		return {left, right, wide: right - left, top, tall, isInstant};
	}

	#drawSegment(one, box) {
		const {colour, number} = this.colours[one.label] ?? {};
		const isRow = box.tall === this.rowHeight; // else the strip below it
		const body = {...box};
		if (one.unseen && isRow) {
			body.top += 4;
			body.tall -= 4;
			this.#drawDashes(box);
		}
		const fill = colour ? TimelineTools.rgb(colour) : this.ink;
		const behind = this.#drawBody(one, body, fill, Boolean(colour));
		if (!isRow || box.isInstant) return;
		this.pen.fillStyle = TimelineTools.inkOn(behind);
		if (one.corrected && !one.kind) this.pen.fillRect(body.left, body.top + body.tall - 3, body.wide, 3);
		if (colour) this.#drawName(one, `${number ?? ""}`, body, behind);
	}

	#drawDashes({left, right, top}) {
		this.pen.fillStyle = TimelineTools.css(this.ink);
		for (let at = left; at < right; at += 9) this.pen.fillRect(at, top, Math.min(6, right - at), 3);
	}

	#drawBody(one, box, fill, hasColour) { // returns the colour that the name stands on
		if (box.isInstant) return this.#drawInstant(box, fill);
		if (one.kind === "draft") return this.#drawDraft(one, box, fill);
		if (one.kind === "label") return this.#drawLabel(box, fill, hasColour);
		if (one.kind === "accepted") return this.#drawAccepted(box, fill, hasColour);
		const alpha = (hasColour ? 1 : 0.15) * (0.25 + 0.75 * (one.confidence ?? 1));
		return this.#fill(box, fill, alpha);
	}

	#fill({left, top, wide, tall}, fill, alpha) {
		this.pen.fillStyle = TimelineTools.css(fill, alpha);
		this.pen.fillRect(left, top, wide > 3 ? wide - 0.8 : Math.max(wide, 0.8), tall);
		return TimelineTools.mix(this.paper, fill, alpha);
	}

	#outline({left, top, wide, tall}, inset, dashes) {
		const {pen} = this;
		pen.setLineDash(dashes);
		pen.strokeRect(left + inset, top + inset, Math.max(wide - 0.8 - 2 * inset, 0), tall - 2 * inset);
		pen.setLineDash([]);
	}

	#drawLabel(box, fill, hasColour) {
		const behind = this.#fill(box, fill, hasColour ? 1 : 0.15);
		this.pen.strokeStyle = TimelineTools.css(this.ink);
		this.pen.lineWidth = 1.5;
		if (box.wide > 6) this.#outline(box, 0.75, []);
		return behind;
	}

	#drawAccepted(box, fill, hasColour) {
		const isNarrow = box.wide < 12;
		const lower = {...box, top: box.top + 5, tall: box.tall - 5};
		const behind = this.#fill(isNarrow ? lower : box, fill, hasColour ? 1 : 0.15);
		this.pen.strokeStyle = TimelineTools.inkOn(behind);
		this.pen.lineWidth = 1.5;
		if (!isNarrow) this.#outline(box, 2.5, [4, 3]);
		return behind;
	}

	#drawDraft(one, box, fill) {
		const behind = this.#fill(box, fill, 0.1 + 0.15 * (one.confidence ?? 1));
		const {pen} = this;
		if (box.wide > 2) {
			pen.fillStyle = this.#hatch(fill);
			pen.fillRect(box.left, box.top, box.wide - 0.8, box.tall);
		}
		pen.strokeStyle = TimelineTools.css(TimelineTools.mix(fill, this.ink, 0.35));
		pen.lineWidth = 1;
		if (box.wide > 6) this.#outline(box, 0.5, [4, 3]);
		return behind;
	}

	#hatch(fill) { // diagonal lines, 7 pixels apart
		const line = TimelineTools.css(TimelineTools.mix(fill, this.ink, 0.15), 0.6);
		const key = `${line} ${this.density}`;
		if (!this.hatches.has(key)) this.hatches.set(key, this.#makeHatch(line));
		return this.hatches.get(key);
	}

	#makeHatch(line) {
		const tile = document.createElement("canvas");
		const size = Math.round(7 * this.density);
		tile.width = size;
		tile.height = size;
		const pen = tile.getContext("2d");
		pen.strokeStyle = line;
		pen.lineWidth = 1.4 * this.density;
		for (const shift of [-size, 0, size]) { // the neighbours' lines cross the corners
			pen.moveTo(shift - 1, size + 1);
			pen.lineTo(shift + size + 1, -1);
		}
		pen.stroke();
		const pattern = this.pen.createPattern(tile, "repeat");
		pattern.setTransform(new DOMMatrix().scale(7 / size));
		return pattern;
	}

	#drawInstant({left, top, tall}, fill) { // a pin
		const {pen} = this;
		pen.fillStyle = TimelineTools.css(this.paper);
		pen.fillRect(left - 2.5, top, 5.5, tall);
		pen.fillStyle = TimelineTools.css(fill);
		pen.strokeStyle = TimelineTools.css(this.ink);
		pen.lineWidth = 1;
		pen.fillRect(left - 1, top, 2.5, tall);
		pen.beginPath();
		pen.moveTo(left, top);
		pen.lineTo(left + 5, top + 6);
		pen.lineTo(left, top + 12);
		pen.lineTo(left - 5, top + 6);
		pen.closePath();
		pen.fill();
		pen.stroke();
		return fill;
	}

	#drawName(one, sign, {left, top, wide, tall}, behind) {
		const {pen} = this;
		const inset = one.kind ? 6 : 3;
		const room = wide - 2 * inset;
		let words = sign;
		if (wide > 60) words = this.fit(`${sign} ${one.label}`, room);
		else if (room < TimelinePainter.#LETTER * sign.length - 2) return;
		const middle = top + tall / 2 + 1;
		const length = Math.min(pen.measureText(words).width, room);
		if (one.kind === "draft" && words) { // no hatching behind the letters
			pen.fillStyle = TimelineTools.css(this.paper, 0.75);
			pen.fillRect(left + inset - 2, middle - 9, length + 4, 17);
		}
		pen.fillStyle = TimelineTools.inkOn(behind);
		pen.fillText(words, left + inset, middle, room);
	}

	#drawFrame(row, segment) {
		const {pen} = this;
		const box = this.boxOf(segment, row.top, this.rowHeight);
		if (box.wide <= 0) return;
		const around = box.isInstant ? 5 : 0;
		for (const [stroke, wide] of [[TimelineTools.css(this.paper), 5], [this.accent, 3]]) {
			pen.strokeStyle = stroke;
			pen.lineWidth = wide;
			pen.strokeRect(box.left - around, box.top, box.wide + 2 * around, box.tall);
		}
		if (this.view.hasHandles) this.#drawHandles(box);
	}

	#drawHandles({left, right, wide, top, tall}) {
		const {pen} = this;
		const grip = Math.min(TimelinePainter.GRIP, wide / 4);
		for (const at of [left, right - grip]) {
			pen.fillStyle = this.accent;
			pen.fillRect(at, top, grip, tall);
			pen.fillStyle = TimelineTools.css(this.paper);
			pen.fillRect(at + grip / 2 - 0.5, top + tall / 3, 1, tall / 3);
		}
	}
}
