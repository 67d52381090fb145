/* The drawings of a report, made from numbers alone: S over U, the reliability of confidences, and confusions. */
const PageCharts = (() => {
	const {make, draw, formatted} = PageParts;

	// --- plots of two percentages ----------------------------------------------------------------

	const STROKES = ["none", "7 4", "2 4", "10 4 2 4"];
	const COLOURS = ["#3b7dd8", "#d9822b", "#2a9d5c", "#a259c4", "#c94f6d"];

	const lookOf = (lineIndex) => ({stroke: COLOURS[lineIndex % 5], "stroke-dasharray": STROKES[lineIndex % 4]});

	/** Make the legend of lines, whose looks follow their order. */
	function legend(lines) {
		return make("ul", {}, ...lines.map((words, lineIndex) => {
			const line = draw("line", {x1: 0, x2: 34, y1: 5, y2: 5, "stroke-width": 2, ...lookOf(lineIndex)});
			return make("li", {}, draw("svg", {width: 34, height: 10, "aria-hidden": true}, line), ` ${words}`);
		}));
	}

	/** Return a square plot with its axes, and the function from two percentages to a place in it. */
	function squarePlot(size, step, across, upwards) {
		const left = 46;
		const top = 10;
		const width = size + left + 20;
		const svg = draw("svg", {viewBox: `0 0 ${width} ${size + 52}`, width, role: "img"});
		const at = (x, y) => [left + x / 100 * size, top + size - y / 100 * size];
		for (let tick = 0; tick <= 100; tick += step) {
			const [x, y] = at(tick, tick);
			svg.append(draw("line", {class: "axis", x1: x, x2: x, y1: top, y2: top + size}));
			svg.append(draw("line", {class: "axis", x1: left, x2: left + size, y1: y, y2: y}));
			svg.append(draw("text", {x, y: top + size + 16, "text-anchor": "middle"}, `${tick}`));
			svg.append(draw("text", {x: left - 6, y: y + 4, "text-anchor": "end"}, `${tick}`));
		}
		const middle = {"text-anchor": "middle"};
		svg.append(draw("text", {x: left + size / 2, y: top + size + 36, ...middle}, across));
		svg.append(draw("text", {transform: `translate(12 ${top + size / 2}) rotate(-90)`, ...middle}, upwards));
		return {svg, at};
	}

	function polyline(places, lineIndex) {
		const points = places.map((place) => place.map((number) => number.toFixed(1)).join(",")).join(" ");
		return draw("polyline", {points, fill: "none", "stroke-width": 2, ...lookOf(lineIndex)});
	}

	/** Draw S over U of runs with unseen classes, {title, zero} each; `zero` is their `zero_shot`. Return the drawing and its legend. */
	function curve(runs) {
		const {svg, at} = squarePlot(360, 20, "U, accuracy of unseen classes (%)", "S, accuracy of seen classes (%)");
		const words = runs.map(({title, zero}, lineIndex) => {
			const {seen, unseen, gamma} = zero.curve;
			const {stroke} = lookOf(lineIndex);
			svg.append(polyline(unseen.map((u, index) => at(u, seen[index])), lineIndex));

			const used = zero.ways["in use"];
			const [x, y] = at(used.U, used.S);
			svg.append(draw("circle", {cx: x, cy: y, r: 5, fill: stroke}, draw("title", {}, `${title}: gamma in use`)));

			const means = seen.map((s, index) => harmonicMean(s, unseen[index]));
			const best = means.indexOf(Math.max(...means));
			const [bestX, bestY] = at(unseen[best], seen[best]);
			const ring = {cx: bestX, cy: bestY, r: 6, fill: "none", stroke, "stroke-width": 2};
			const bestTitle = `${title}: best H, gamma ${gamma[best].toFixed(2)}`;
			svg.append(draw("circle", ring, draw("title", {}, bestTitle)));
			return `${title}: AUSUC ${formatted(zero.ausuc)}, in use S ${formatted(used.S)} and U ${formatted(used.U)}`;
		});
		svg.setAttribute("aria-label", `Curve of S over U. ${words.join("; ")}`);
		return [svg, legend(runs.map(({title, zero}) => `${title}, AUSUC ${formatted(zero.ausuc)}`))];
	}

	const harmonicMean = (s, u) => s + u ? 2 * s * u / (s + u) : 0;

	/** Draw the share of right frames over their confidence, before and after calibration; `before` or `after` may be missing. */
	function reliability({before, after}) {
		const {svg, at} = squarePlot(260, 25, "confidence (%)", "correct frames (%)");
		const [x1, y1] = at(0, 0);
		const [x2, y2] = at(100, 100);
		svg.append(draw("line", {x1, y1, x2, y2, stroke: "var(--soft)", "stroke-dasharray": "2 4"}));
		const measured = [["scores", before], ["confidences", after]].filter(([, one]) => one);
		measured.forEach(([name, {bins}], lineIndex) => {
			const filled = bins.filter(({frames}) => frames);
			const most = Math.max(...filled.map(({frames}) => frames));
			const placeOf = ({confidence, accuracy}) => at(100 * confidence, 100 * accuracy);
			svg.append(polyline(filled.map(placeOf), lineIndex));
			for (const bin of filled) {
				const [cx, cy] = placeOf(bin);
				const words = `${name}: ${bin.frames} frames, confidence ${formatted(100 * bin.confidence)}, `
					+ `correct ${formatted(100 * bin.accuracy)}`;
				const dot = {cx, cy, r: 2 + 6 * Math.sqrt(bin.frames / most), fill: lookOf(lineIndex).stroke};
				svg.append(draw("circle", dot, draw("title", {}, words)));
			}
		});
		const errors = measured.map(([name, {ece}]) => `calibration error of the ${name} ${formatted(ece)}`);
		svg.setAttribute("aria-label", errors.join(", "));
		return make("div", {}, svg, legend(measured.map(([name, {ece}]) => `${name}, calibration error ${formatted(ece)}`)));
	}

	// --- confusions ------------------------------------------------------------------------------

	const MOST = 60; // rows of a matrix; more cannot be read

	/** Draw [true, predicted, frames, frames of the true one] as a matrix; `nameOf` and `badgeOf` take a place in the rows. */
	function confusion(cells, kind, nameOf, badgeOf) {
		const totals = new Map(cells.map(([, guess]) => [guess, 0])); // a predicted class may have no true frame
		for (const [true_, , , total] of cells) totals.set(true_, total);
		const byFrames = [...totals].sort(([, a], [, b]) => b - a);
		const frequent = byFrames.slice(0, MOST).map(([index]) => index).sort((a, b) => a - b);
		const positions = new Map(frequent.map((index, position) => [index, position]));
		const side = Math.max(9, Math.min(22, 520 / frequent.length));
		const left = 200;
		const top = 24;
		const size = side * frequent.length;
		const svg = draw("svg", {
			viewBox: `0 0 ${left + size + 4} ${top + size + 22}`, width: left + size + 4, role: "img",
			"aria-label": `Confusion by ${kind}, true in rows and predicted in columns; `
				+ "the table beside it lists the largest errors",
		});
		frequent.forEach((index, position) => {
			const long = nameOf(index);
			const short = long.length > 24 ? `${long.slice(0, 23)}…` : long;
			const middle = (position + 0.5) * side;
			const rowHead = {x: left - 6, y: top + middle + 4, "text-anchor": "end", style: `font-size:${Math.min(12, side)}px`};
			svg.append(draw("text", rowHead, `${short}  ${badgeOf(index)}`, draw("title", {}, long)));
			if (side <= 13 && position % 2) return; // every second column has room for its head
			const columnStyle = `font-size:${Math.min(11, side)}px`;
			const columnHead = {x: left + middle, y: top - 6, "text-anchor": "middle", style: columnStyle};
			svg.append(draw("text", columnHead, badgeOf(index)));
		});
		svg.append(draw("rect", {x: left, y: top, width: size, height: size, fill: "none", class: "axis"}));
		for (const [true_, guess, frames, total] of cells) {
			if (!positions.has(true_) || !positions.has(guess)) continue;
			const share = frames / total;
			const words = `true ${nameOf(true_)}, predicted ${nameOf(guess)}: ${frames} frames, ${(100 * share).toFixed(1)} %`;
			svg.append(draw("rect", {
				x: left + positions.get(guess) * side,
				y: top + positions.get(true_) * side,
				width: side - 0.5,
				height: side - 0.5,
				fill: true_ === guess ? "var(--good)" : "var(--bad)",
				opacity: (0.08 + 0.92 * share).toFixed(2),
			}, draw("title", {}, words)));
		}
		const below = {x: left + size / 2, y: top + size + 16, "text-anchor": "middle"};
		svg.append(draw("text", below, "predicted; true in rows"));
		const isCut = totals.size > MOST;
		return make("div", {className: "wide"}, isCut ? PageParts.note(`The ${MOST} most frequent of ${totals.size}.`) : null, svg);
	}

	return {curve, reliability, confusion};
})();
