/* The report. `data` is what `summary` of fact_clip/report/summary.py returns: {classes, runs, videos, sweeps}.

classes[i]  {name, colour, number, group, factors}; colour may be null; group is "" if unknown.
videos[i]   {name, frames, times, truth, runs}
  times     {step} or {starts} in seconds, starts with the end of the video; {step: 1, unit: "frames"} if unknown.
  truth     label runs without confidence; it is that of the first run.
  runs      of each run null, if it lacks the video, or {p, f, t, figures}: label runs of the prediction and of the
            frame and token voters, t may be missing; figures: [frame accuracy, edit, F1@50] in percent, null without
            a labelled frame.
  A list of label runs is flat: of each run class index + 1 (0: no label), frames[, mean confidence in percent].
runs[i]     {title, path, written, seed, members, data, choice, versions, config, result, numbers, classes, confusion,
            factors, boundaries, uncertain, unseen}
  result    evaluation.json without per_class, run and videos; config: text of YAML; versions: {name: version}.
  numbers   [[name, value, note]]
  classes   [{class, name, group, training, frames, segments, predicted_segments, accuracy, f1}]; training: frames.
  confusion [[true, predicted, frames, frames of the true class]], most frequent first, perhaps not all of them;
            factors: {slot: {names, cells}}, cells alike, of names.
  boundaries {unit, median}, median may be null or "infinite".
  uncertain [{video, index, start, stop, label, true, confidence}]; index: of the predicted segment; start, stop: frames;
            confidence: 0..1.
  unseen    [{name, level, frames, accuracy, unseen_labels_only, taken: [{name, share, seen, shares}]}]
sweeps[i]   {axes, runs, figures}; runs: their number; figures: [[name, mean, standard deviation]].

Classes and videos are given as indices of `classes` and `videos`; the class index -1 is no label.
Text goes in as textContent. */
"use strict";
window.addEventListener("error", ({message}) => {
	const problem = `This report is damaged: ${message}. Write it again with fact-clip report.`;
	document.getElementById("report").textContent = problem;
});
{
const data = JSON.parse(document.getElementById("data").textContent);
const {classes, runs, videos, sweeps} = data;
const several = runs.length > 1;
const main = document.getElementById("report");

// --- small helpers -----------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(properties)) {
		if (name in node) node[name] = value;
		else node.setAttribute(name, value);
	}
	node.append(...children.filter((child) => child != null));
	return node;
}

function draw(tag, attributes, ...children) {
	const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
	node.append(...children);
	return node;
}

function formatted(value, digits = 1) {
	if (value == null) return "–";
	return typeof value === "number" ? value.toFixed(digits).replace("-", "−") : value;
}

function signed(value) {
	if (value == null) return "–";
	const sign = value > 0 ? "+" : value < 0 ? "−" : "";
	return sign + Math.abs(value).toFixed(1);
}

const isUnseen = (one) => one.group === "unseen" || one.group === "validation-unseen";
const classNameOf = (classIndex) => classIndex < 0 ? "no label" : classes[classIndex].name;

function swatch(one) {
	const node = make("b", {className: isUnseen(one) ? "swatch unseen" : "swatch"});
	if (one.colour) {
		Object.assign(node.style, {background: one.colour, color: Timeline.inkOn(Timeline.rgb(one.colour))});
	}
	node.textContent = one.colour ? one.number : "";
	return node;
}

function classBadge(classIndex) {
	const one = classes[classIndex];
	if (!one) return make("span", {}, "no label");
	return make("span", {}, swatch(one), one.name, isUnseen(one) ? ` (${one.group})` : "");
}

/** Make a table whose columns are [heading, cell of a row, "number" or "name", value to sort by]. */
function table(columns, rows, sorted = null, caption = "") {
	const body = make("tbody");
	const heads = columns.map(([heading, , kind]) => make("th", {className: kind ?? "", scope: "col"}, heading));

	function cellOf([, cell, kind = ""], row) {
		const value = cell(row);
		const node = make("td", {className: kind});
		node.append(value instanceof Node ? value : formatted(value));
		if (kind.includes("change")) node.classList.add({"+": "up", "−": "down"}[value[0]] ?? "same");
		return node;
	}

	function fill(list) {
		body.replaceChildren(...list.map((row) => make("tr", {}, ...columns.map((column) => cellOf(column, row)))));
	}

	function sort(columnIndex, way) {
		heads.forEach((head, index) => {
			if (index === columnIndex) head.setAttribute("aria-sort", way);
			else head.removeAttribute("aria-sort");
		});
		const sign = way === "ascending" ? 1 : -1;
		const [, cell, , valueOf = cell] = columns[columnIndex];
		fill([...rows].sort((left, right) => {
			const a = valueOf(left);
			const b = valueOf(right);
			if (a == null || b == null) return (a == null) - (b == null); // what is unknown comes last
			return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
		}));
	}

	if (sorted) {
		heads.forEach((head, columnIndex) => {
			const button = make("button", {type: "button", textContent: head.textContent});
			button.addEventListener("click", () => {
				sort(columnIndex, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
			});
			head.replaceChildren(button);
		});
		sort(...sorted);
	} else fill(rows);
	const node = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
	if (caption) node.setAttribute("aria-label", caption);
	return make("div", {className: "wide"}, node);
}

const nav = make("nav", {ariaLabel: "sections"});

function section(id, title, ...children) {
	const open = id === "short" || id === "videos"; // the others are details
	const details = make("details", {open}, make("summary", {}, make("h2", {}, title)), ...children);
	const unfold = () => {
		details.open = true;
	};
	nav.append(make("a", {href: `#${id}`, onclick: unfold}, title));
	main.append(make("section", {id}, details));
	return details;
}

const note = (...words) => make("p", {className: "soft"}, ...words);

/** Build something for each run, under its title where there are several. */
function perRun(build) {
	return runs.map((run, runIndex) => {
		const content = build(run, runIndex);
		return content && make("div", {}, several ? make("h3", {}, run.title) : null, content);
	});
}

// --- rows --------------------------------------------------------------------------------------

/** Return the function from frames to seconds. */
function clockOf(video) {
	const {step, starts} = video.times;
	return starts ? (frame) => starts[frame] : (frame) => frame * step;
}

function segmentsOf(labelRuns, clock, hasConfidence) {
	const segments = [];
	let frame = 0;
	for (let at = 0; at < labelRuns.length; at += hasConfidence ? 3 : 2) {
		const [number, frames, percent] = labelRuns.slice(at, at + 3);
		const one = classes[number - 1];
		segments.push({
			start: clock(frame),
			stop: clock(frame + frames),
			label: one?.name ?? "no label",
			unseen: !!one && isUnseen(one),
			confidence: hasConfidence ? percent / 100 : null,
		});
		frame += frames;
	}
	return segments;
}

const colours = Object.fromEntries(classes.map((one) => [one.name, one]));

// --- the first page ----------------------------------------------------------------------------

const isAction = (classIndex) => classIndex >= 0 && classes[classIndex].group !== "background";

function inShort() {
	section("short", "In short", ...perRun((run, runIndex) => {
		const cautions = (run.result.cautions ?? []).map((line) => `Caution: ${line}.`);
		const items = [...cautions, ...sentences(run)].map((line) => make("li", {}, line));
		return make("ul", {}, ...items, worstVideo(runIndex), mostConfused(run));
	}));
}

function segmentCount({classes: rows}, key) {
	return rows.reduce((sum, row) => sum + row[key], 0);
}

function sentences(run) {
	const {result, boundaries: {unit, median}} = run;
	const {metrics: figures, zero_shot: zero} = result;
	const used = zero?.ways["in use"];
	const lines = [
		`${formatted(figures.frame_accuracy)} % of all frames have the right name.`,
		`Segments: F1 ${formatted(figures["f1@10"])} at 10 % overlap, ${formatted(figures["f1@50"])} at 50 %.`,
		`The order of the actions: ${formatted(figures.edit)} of 100 (edit score).`,
		`${segmentCount(run, "predicted_segments")} segments are predicted, ${segmentCount(run, "segments")} are true.`,
	];
	if (median === "infinite") {
		lines.push("Half of the true boundaries are in videos without a predicted one.");
	} else if (median != null) {
		lines.push(`Half of the true boundaries have a predicted one within ${formatted(median, 2)} ${unit}.`);
	}
	if (used) {
		lines.push(`By class: ${formatted(used.S)} % of the frames of a class that was trained are right, `
			+ `${formatted(used.U)} % of one that was not.`);
	}
	return lines;
}

function worstVideo(runIndex) {
	let worst = null;
	videos.forEach((video, videoIndex) => {
		if (!video.runs[runIndex]) return;
		const [accuracy] = video.runs[runIndex].figures;
		if (accuracy == null) return;
		if (!worst || accuracy < worst.accuracy) worst = {videoIndex, accuracy};
	});
	if (!worst) return null;
	const name = link(worst.videoIndex, videos[worst.videoIndex].name, runIndex);
	return make("li", {}, "The worst video is ", name, `: ${formatted(worst.accuracy)} % of its frames are right.`);
}

function mostConfused({confusion: cells}) {
	const wrong = cells.filter(([true_, guess]) => true_ !== guess && isAction(true_) && isAction(guess));
	const [true_, guess, frames, total] = wrong.reduce((most, cell) => cell[2] > most[2] ? cell : most, [-1, -1, 0]);
	if (!frames) return null;
	const share = formatted(100 * frames / total);
	return make("li", {}, "Most confused: ", classBadge(true_), " is called ", classBadge(guess),
		` in ${share} % of its frames.`);
}

// --- numbers -----------------------------------------------------------------------------------

/** Return the lowest and highest figure of the models alone. */
function spreads() {
	if (!runs.some((run) => run.result.members)) return [];
	const keys = [["frame_accuracy", "accuracy"], ["edit", "edit"], ["f1@50", "F1@50"]];
	return keys.map(([key, name]) => [`${name} of the models alone`, (run) => {
		const values = (run.result.members ?? []).map((one) => one[key]);
		return values.length ? `${formatted(Math.min(...values))} to ${formatted(Math.max(...values))}` : "–";
	}]);
}

function numbers() {
	const names = [...new Set(runs.flatMap((run) => run.numbers.map(([name]) => name)))];
	const valuesOf = runs.map((run) => Object.fromEntries(run.numbers.map(([name, value]) => [name, value])));
	const notes = Object.fromEntries(runs.flatMap((run) => run.numbers.map(([name, , words]) => [name, words])));
	const columns = [["", (name) => name]];
	runs.forEach((run, runIndex) => {
		columns.push([several ? run.title : "", (name) => formatted(valuesOf[runIndex][name]), "number"]);
	});
	if (several) {
		const change = (name) => signed(difference(valuesOf.at(-1)[name], valuesOf[0][name]));
		columns.push(["change", change, "number"]);
	}
	columns.push(["", (name) => make("span", {className: "soft"}, notes[name])]);
	const facts = [
		["split", (run) => run.result.split],
		["videos", (run, runIndex) => videos.filter((video) => video.runs[runIndex]).length],
		["data", (run) => run.data],
		["seed", (run) => run.seed],
		["models", (run) => run.members],
		...spreads(),
		["metric profile", (run) => run.result.metrics.profile],
		["background in edit and F1", (run) => run.result.background_counted ? "counted" : "not counted"],
		["evaluated", (run) => run.written],
		["commit of the training", (run) => run.versions["trained by commit"] ?? "unknown"],
		["commit of the evaluation", (run) => run.versions["evaluated by commit"]],
	];
	const factColumns = runs.map((run, runIndex) => {
		return [several ? run.title : "", ([, factOf]) => `${factOf(run, runIndex)}`];
	});
	const figures = table(columns, names);
	if (Object.values(notes).some(Boolean)) Object.assign(figures.style, {flex: "1 1 36rem"});
	const factTable = table([["", ([name]) => name], ...factColumns], facts);
	const node = section("numbers", "Numbers", make("div", {className: "pair"}, figures, factTable));
	node.append(...perRun(correctionTable).filter(Boolean), ...sweeps.map(sweepTable));
	if (several) node.append(note(`change: ${runs.at(-1).title} minus ${runs[0].title}, in points of percent.`));
}

const difference = (last, first) => last == null || first == null ? null : last - first;

function correctionTable(run) {
	const zero = run.result.zero_shot;
	if (!zero) return null;
	const keys = Object.keys(Object.values(zero.ways)[0]).filter((key) => !key.includes("classes"));
	const levels = Object.entries(zero.by_level).map(([level, figures]) => [`unseen: ${level}`, figures]);
	const columns = [...Object.entries(zero.ways), ...levels].map(([name, figures]) => {
		return [name, (key) => figures[key], "number"];
	});
	return make("details", {}, make("summary", {}, "with and without corrections, and by level"),
		table([["", (key) => key.replaceAll("_", " ")], ...columns], keys));
}

function sweepTable(sweep) {
	const title = `Sweep over ${sweep.axes.join(", ")}: ${sweep.runs} runs`;
	const columns = [
		["", ([name]) => name],
		["mean", ([, value]) => value, "number"],
		["standard deviation", ([, , deviation]) => deviation, "number"],
	];
	return make("div", {}, make("h3", {}, title), table(columns, sweep.figures));
}

// --- the curve of S over U ---------------------------------------------------------------------

const STROKES = ["none", "7 4", "2 4", "10 4 2 4"];
const LINES = ["#3b7dd8", "#d9822b", "#2a9d5c", "#a259c4", "#c94f6d"];

const lookOf = (lineIndex) => ({stroke: LINES[lineIndex % 5], "stroke-dasharray": STROKES[lineIndex % 4]});

function lineOf(lineIndex) {
	const line = draw("line", {x1: 0, x2: 34, y1: 5, y2: 5, "stroke-width": 2, ...lookOf(lineIndex)});
	return draw("svg", {width: 34, height: 10, "aria-hidden": true}, line);
}

function curve() {
	const curves = runs.map((run, runIndex) => ({run, runIndex, zero: run.result.zero_shot})).filter(({zero}) => zero);
	if (!curves.length) return;
	const size = 360;
	const left = 46;
	const top = 10;
	const at = (u, s) => [left + u / 100 * size, top + size - s / 100 * size];
	const svg = draw("svg", {viewBox: `0 0 ${size + left + 20} ${size + 52}`, width: size + left + 20, role: "img"});
	for (let tick = 0; tick <= 100; tick += 20) {
		const [x, y] = at(tick, tick);
		svg.append(draw("line", {class: "axis", x1: x, x2: x, y1: top, y2: top + size}));
		svg.append(draw("line", {class: "axis", x1: left, x2: left + size, y1: y, y2: y}));
		svg.append(draw("text", {x, y: top + size + 16, "text-anchor": "middle"}, `${tick}`));
		svg.append(draw("text", {x: left - 6, y: y + 4, "text-anchor": "end"}, `${tick}`));
	}
	const middle = {"text-anchor": "middle"};
	svg.append(draw("text", {x: left + size / 2, y: top + size + 36, ...middle}, "U, accuracy of unseen classes (%)"));
	const upwards = `translate(12 ${top + size / 2}) rotate(-90)`;
	svg.append(draw("text", {transform: upwards, ...middle}, "S, accuracy of seen classes (%)"));
	const words = [];
	for (const {run, runIndex, zero} of curves) {
		const {seen, unseen: unseenShares, gamma} = zero.curve;
		const look = lookOf(runIndex);
		const points = unseenShares.map((u, index) => at(u, seen[index]).map((number) => number.toFixed(1)).join(","));
		svg.append(draw("polyline", {points: points.join(" "), fill: "none", "stroke-width": 2, ...look}));

		const used = zero.ways["in use"];
		const [x, y] = at(used.U, used.S);
		const usedTitle = draw("title", {}, `${run.title}: gamma in use`);
		svg.append(draw("circle", {cx: x, cy: y, r: 5, fill: look.stroke}, usedTitle));

		const means = seen.map((s, index) => {
			const sum = s + unseenShares[index];
			return sum ? 2 * s * unseenShares[index] / sum : 0;
		});
		const best = means.indexOf(Math.max(...means));
		const [bestX, bestY] = at(unseenShares[best], seen[best]);
		const ring = {cx: bestX, cy: bestY, r: 6, fill: "none", stroke: look.stroke, "stroke-width": 2};
		const bestTitle = draw("title", {}, `${run.title}: best H, gamma ${gamma[best].toFixed(2)}`);
		svg.append(draw("circle", ring, bestTitle));
		words.push(`${run.title}: AUSUC ${formatted(zero.ausuc)}, `
			+ `in use S ${formatted(used.S)} and U ${formatted(used.U)}`);
	}
	svg.setAttribute("aria-label", `Curve of S over U. ${words.join("; ")}`);
	const legend = curves.map(({run, runIndex, zero}) => {
		return make("li", {}, lineOf(runIndex), ` ${run.title}, AUSUC ${formatted(zero.ausuc)}`);
	});
	const explanation = note("S over U as gamma, what is taken from the scores of seen classes, grows. "
		+ "Dot: the gamma in use, chosen on validation videos. "
		+ "Ring: the best H on the curve, an oracle that has seen the test labels.");
	const beside = make("div", {className: "grow"}, make("ul", {}, ...legend), explanation);
	section("curve", "Seen and unseen", make("div", {className: "pair"}, svg, beside));
}

// --- timelines ---------------------------------------------------------------------------------

const articles = new Map(); // video index -> its article
const timelines = new Map(); // video index -> its timeline
const searchWords = new Map(); // video index -> the words that a search looks through

const ROWS = {p: "prediction", f: "frames", t: "tokens"};

/** Return the rows of a run that are shown. */
function kindsOf(run) {
	return Object.keys(ROWS).filter((key) => run?.[key] && (key === "p" || voters.checked));
}

function rowTitle(runIndex, key) {
	if (!several) return ROWS[key];
	return key === "p" ? runs[runIndex].title : `${runs[runIndex].title}: ${ROWS[key]}`;
}

function rowsOf(video) {
	const clock = clockOf(video);
	const rows = [{name: "truth", segments: segmentsOf(video.truth, clock, false)}];
	video.runs.forEach((run, runIndex) => {
		for (const key of kindsOf(run)) {
			rows.push({name: rowTitle(runIndex, key), segments: segmentsOf(run[key], clock, true)});
		}
	});
	return {rows, duration: clock(video.frames)};
}

function predictionRow(video, runIndex) {
	return video.runs.slice(0, runIndex).reduce((sum, run) => sum + kindsOf(run).length, 1);
}

function wordsOf(videoIndex) {
	if (!searchWords.has(videoIndex)) {
		const video = videos[videoIndex];
		const asFrame = (frame) => frame;
		const predictions = video.runs.filter(Boolean).flatMap((run) => segmentsOf(run.p, asFrame, true));
		const segments = [...segmentsOf(video.truth, asFrame, false), ...predictions];
		const words = new Set([video.name, ...segments.map(({label}) => label)]);
		searchWords.set(videoIndex, [...words].join("\n").toLowerCase());
	}
	return searchWords.get(videoIndex);
}

function timelineOf(videoIndex) {
	if (!timelines.has(videoIndex)) {
		const holder = articles.get(videoIndex).lastElementChild;
		const video = videos[videoIndex];
		holder.style.minHeight = "";
		const options = {...rowsOf(video), colours, label: `Timeline of ${video.name}`, unit: video.times.unit};
		timelines.set(videoIndex, new Timeline(holder, options));
	}
	return timelines.get(videoIndex);
}

const watcher = new IntersectionObserver((entries) => {
	for (const entry of entries) {
		if (!entry.isIntersecting) continue;
		watcher.unobserve(entry.target);
		timelineOf(Number(entry.target.dataset.video));
	}
}, {rootMargin: "400px"});

const voters = make("input", {type: "checkbox", checked: !several});
const search = make("input", {
	type: "search", placeholder: "video or action", ariaLabel: "search videos and actions",
});
const order = make("select", {ariaLabel: "order"});
const count = make("span", {className: "soft", role: "status"});
const list = make("div");

function articleOf(videoIndex) {
	if (!articles.has(videoIndex)) {
		const video = videos[videoIndex];
		const words = [];
		video.runs.forEach((run, runIndex) => {
			if (!run) return;
			const [accuracy, edit, f1] = run.figures;
			const title = several ? `${runs[runIndex].title}: ` : "";
			words.push(`${title}accuracy ${formatted(accuracy)}, edit ${formatted(edit)}, F1@50 ${formatted(f1)}`);
		});
		const holder = make("div", {});
		holder.style.minHeight = `${32 * (1 + video.runs.length * (voters.checked ? 3 : 1)) + 22}px`;
		const title = make("h3", {}, video.name, ...words.map((word) => make("span", {}, word)));
		const node = make("article", {className: "video"}, title, holder);
		node.dataset.video = videoIndex;
		articles.set(videoIndex, node);
		watcher.observe(node);
	}
	return articles.get(videoIndex);
}

const accuracyOf = ([accuracy]) => accuracy;
const editOf = ([, edit]) => edit;
const f1Of = ([, , f1]) => f1;

/** Return the mean of a figure over the runs that have the video, or NaN without a labelled frame. */
function mean(video, figureOf) {
	const known = video.runs.filter(Boolean).map((run) => figureOf(run.figures)).filter((value) => value != null);
	return known.reduce((sum, value) => sum + value, 0) / known.length;
}

const accuraciesOf = (video) => video.runs.map((run) => run?.figures).map((figures) => figures && accuracyOf(figures));

function accuracyChange(video) {
	const accuracies = accuraciesOf(video);
	const points = difference(accuracies.at(-1), accuracies[0]);
	return points == null ? -1 : Math.abs(points);
}

/** Return the order of videos by a figure; those without one come last. */
function byFigure(figureOf, sign) {
	return (a, b) => {
		const first = mean(a, figureOf);
		const second = mean(b, figureOf);
		return isNaN(first) - isNaN(second) || sign * (first - second);
	};
}

const ORDERS = {
	"accuracy, lowest first": byFigure(accuracyOf, 1),
	"accuracy, highest first": byFigure(accuracyOf, -1),
	"edit, lowest first": byFigure(editOf, 1),
	"F1@50, lowest first": byFigure(f1Of, 1),
	name: (a, b) => a.name.localeCompare(b.name),
};
if (several) ORDERS["change of accuracy, largest first"] = (a, b) => accuracyChange(b) - accuracyChange(a);

/** Return the indices of the videos that the search finds, in order. */
function matchingVideos() {
	const asked = search.value.trim().toLowerCase();
	return [...videos.keys()]
		.filter((videoIndex) => !asked || wordsOf(videoIndex).includes(asked))
		.sort((a, b) => ORDERS[order.value](videos[a], videos[b]));
}

function arrange() {
	const videoIndices = matchingVideos();
	list.replaceChildren(...videoIndices.map(articleOf));
	if (!videoIndices.length) {
		list.append(make("p", {}, videos.length ? "No video has such a name or action." : "There are no videos."));
	}
	count.textContent = `${videoIndices.length} of ${videos.length} videos`;
}

/** Bring a predicted segment of a video into view. */
function show(videoIndex, runIndex, segmentIndex) {
	if (!matchingVideos().includes(videoIndex)) search.value = "";
	arrange();
	const timeline = timelineOf(videoIndex);
	articles.get(videoIndex).scrollIntoView({block: "center"});
	timeline.select(predictionRow(videos[videoIndex], runIndex), segmentIndex);
	articles.get(videoIndex).querySelector("canvas").focus({preventScroll: true});
}

function timelineSection() {
	order.append(...Object.keys(ORDERS).map((name) => make("option", {}, name)));
	order.addEventListener("change", arrange);
	search.addEventListener("input", arrange);
	voters.addEventListener("change", () => {
		timelines.forEach((timeline, videoIndex) => timeline.setRows(rowsOf(videos[videoIndex]).rows));
	});
	const used = [...classes.keys()].filter((classIndex) => classes[classIndex].colour);
	const badges = used.map((classIndex) => make("div", {}, classBadge(classIndex)));
	const legend = make("details", {open: used.length <= 30},
		make("summary", {}, `${used.length} actions and their colours`),
		make("div", {className: "legend"}, ...badges));
	const tools = make("div", {className: "tools"}, search, order, make("label", {}, voters, " voters"), count);
	const explanation = make("p", {className: "soft keys"},
		"Truth, the decoded prediction, and the best class of the frame and of the token voter. "
		+ "Faint: little confidence. Dashes on top: a class without training frames. ", make("br"),
		"Keys in a timeline: arrows for segments and rows, + and - zoom, 0 shows all, Shift and arrows pan. "
		+ "Double click zooms to a segment.");
	section("videos", "Timelines", tools, explanation, legend, list);
	arrange();
}

// --- what changed ------------------------------------------------------------------------------

function changes() {
	if (!several) return;
	const byVideo = videos.map((video, videoIndex) => ({videoIndex, of: accuraciesOf(video)}));
	const byClass = classes.map((one, classIndex) => ({classIndex, of: runs.map((run) => {
		const row = run.classes.find((candidate) => candidate.class === classIndex);
		return row?.frames ? row.accuracy : null;
	})}));
	const columns = runs.map((run, runIndex) => [run.title, ({of}) => of[runIndex], "number"]);
	const delta = ({of}) => difference(of.at(-1), of[0]);
	columns.push(["change", (row) => signed(delta(row)), "number change", delta]);
	const isKnown = (row) => row.of.some((one) => one != null);
	const nameOf = ({videoIndex}) => videos[videoIndex].name;
	const videoColumn = ["video", (row) => link(row.videoIndex, nameOf(row)), "name", nameOf];
	const classColumn = classColumnOf(({classIndex}) => classIndex);
	const way = [columns.length, "ascending"];
	section("changes", "What changed",
		note(`Accuracy by video and by class; change: ${runs.at(-1).title} minus ${runs[0].title}.`),
		make("div", {className: "pair"},
			table([videoColumn, ...columns], byVideo.filter(isKnown), way, "change by video"),
			table([classColumn, ...columns], byClass.filter(isKnown), way, "change by class")));
}

function classColumnOf(indexOf, heading = "class") {
	return [heading, (row) => classBadge(indexOf(row)), "name", (row) => classNameOf(indexOf(row))];
}

function link(videoIndex, words, runIndex = 0, segmentIndex = 0) {
	const button = make("button", {type: "button", title: "show in its timeline"}, words);
	button.addEventListener("click", () => show(videoIndex, runIndex, segmentIndex));
	return button;
}

// --- confusions --------------------------------------------------------------------------------

const MOST = 60; // rows of a matrix; more cannot be read

function confusion() {
	const kinds = ["class", ...new Set(runs.flatMap((run) => Object.keys(run.factors)))];
	const kind = make("select", {ariaLabel: "by"}, ...kinds.map((name) => make("option", {}, name)));
	const options = runs.map((run, runIndex) => make("option", {value: runIndex}, run.title));
	const which = make("select", {ariaLabel: "run"}, ...options);
	const holder = make("div", {className: "pair"});
	const fill = () => holder.replaceChildren(...matrix(runs[Number(which.value)], kind.value));
	kind.addEventListener("change", fill);
	which.addEventListener("change", fill);
	const tools = make("div", {className: "tools"},
		kinds.length > 1 ? make("label", {}, "by ", kind) : null,
		several ? make("label", {}, "run ", which) : null);
	section("confusion", "Confusions", tools, holder);
	fill();
}

/** Return the drawing and the table of a confusion of classes, or of the factors of a slot. */
function matrix(run, kind) {
	const isClass = kind === "class";
	const cells = isClass ? run.confusion : run.factors[kind]?.cells ?? [];
	if (!cells.length) return [make("p", {}, "There are no labelled frames.")];
	const name = (index) => isClass ? classes[index].name : run.factors[kind].names[index];
	const badge = (index) => isClass ? `${classes[index].number ?? "–"}` : `${index + 1}`;
	const totals = new Map(cells.map(([true_, , , total]) => [true_, total]));
	const svg = matrixDrawing(cells, totals, kind, name, badge);
	const most = totals.size > MOST ? note(`The ${MOST} most frequent of ${totals.size}.`) : null;
	const wrong = cells.filter(([true_, guess]) => true_ !== guess);
	const cellName = isClass ? classBadge : (index) => make("span", {}, name(index));
	const columns = [
		["true", ([true_]) => cellName(true_), "name"],
		["predicted", ([, guess]) => cellName(guess), "name"],
		["frames", ([, , frames]) => `${frames}`, "number"],
		["share (%)", ([, , frames, total]) => 100 * frames / total, "number"],
	];
	const errors = table(columns, wrong.slice(0, 20), null, "largest confusions");
	return [make("div", {className: "wide"}, most, svg), errors];
}

function matrixDrawing(cells, totals, kind, name, badge) {
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
		const long = name(index);
		const words = long.length > 24 ? `${long.slice(0, 23)}…` : long;
		const middle = (position + 0.5) * side;
		const rowStyle = `font-size:${Math.min(12, side)}px`;
		svg.append(draw("text", {x: left - 6, y: top + middle + 4, "text-anchor": "end", style: rowStyle},
			`${words}  ${badge(index)}`, draw("title", {}, long)));
		if (side <= 13 && position % 2) return;
		const columnStyle = `font-size:${Math.min(11, side)}px`;
		svg.append(draw("text", {x: left + middle, y: top - 6, "text-anchor": "middle", style: columnStyle},
			badge(index)));
	});
	svg.append(draw("rect", {x: left, y: top, width: size, height: size, fill: "none", class: "axis"}));
	for (const [true_, guess, frames, total] of cells) {
		if (!positions.has(true_) || !positions.has(guess)) continue;
		const share = frames / total;
		const words = `true ${name(true_)}, predicted ${name(guess)}: `
			+ `${frames} frames, ${(100 * share).toFixed(1)} %`;
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
	return svg;
}

// --- unseen classes, boundaries, classes, uncertain segments -----------------------------------

function takenFor({name, share, seen, shares}) {
	const remarks = [seen ? "seen" : "not seen"];
	if (shares) remarks.push("shares a factor");
	return `${name} ${share.toFixed(0)} % (${remarks.join(", ")})`;
}

function unseen() {
	if (!runs.some((run) => run.unseen.length)) return;
	const classIndexOf = Object.fromEntries(classes.map((one, classIndex) => [one.name, classIndex]));
	const taken = (row) => {
		const lines = row.taken.flatMap((one, index) => [index ? make("br") : null, takenFor(one)]);
		return make("span", {}, ...lines);
	};
	const columns = [
		classColumnOf((row) => classIndexOf[row.name]),
		["level", (row) => row.level],
		["frames", (row) => `${row.frames}`, "number", (row) => row.frames],
		["accuracy", (row) => row.accuracy, "number"],
		["unseen labels only", (row) => row.unseen_labels_only, "number"],
		["mostly taken for", taken, "name", (row) => row.taken[0]?.share],
	];
	section("unseen", "Errors on unseen classes", ...perRun((run) => {
		return run.unseen.length ? table(columns, run.unseen, [3, "ascending"], "unseen classes") : null;
	}));
}

function boundaries() {
	const explanation = note("The distance is that of each true boundary to the nearest predicted one, whatever the "
		+ "labels are.");
	const columns = [["segments", ([name]) => name], ["", ([, number]) => `${number}`, "number"]];
	section("boundaries", "Segments and boundaries", explanation, ...perRun((run) => {
		const {unit, median} = run.boundaries;
		const true_ = segmentCount(run, "segments");
		const predicted = segmentCount(run, "predicted_segments");
		return table(columns, [
			["true", true_],
			["predicted", predicted],
			["predicted for each true one", true_ ? (predicted / true_).toFixed(2) : "–"],
			[`median distance of boundaries (${unit})`, formatted(median, 2)],
		], null, "segments and boundaries");
	}));
}

function classTable() {
	const rowsOfClass = (classIndex) => runs.map((run) => run.classes.find((row) => row.class === classIndex));
	const rows = classes.map((one, classIndex) => ({classIndex, of: rowsOfClass(classIndex)}))
		.filter(({of}) => of.some(Boolean));
	const known = (key, runIndex) => ({of}) => of[runIndex]?.frames ? of[runIndex][key] : null;
	const columns = [classColumnOf(({classIndex}) => classIndex)];
	runs.forEach((run, runIndex) => {
		const title = several ? ` ${run.title}` : "";
		const countColumn = (heading, key) => {
			const countOf = ({of}) => of[runIndex]?.[key] ?? null;
			columns.push([`${heading}${title}`, (row) => `${countOf(row) ?? "–"}`, "number", countOf]);
		};
		if (run.classes.some(({group}) => group)) {
			columns.push([`group${title}`, ({of}) => of[runIndex]?.group ?? "–"]);
		}
		countColumn("training frames", "training");
		countColumn("frames", "frames");
		countColumn("segments", "segments");
		countColumn("predicted", "predicted_segments");
		columns.push([`accuracy${title}`, known("accuracy", runIndex), "number"]);
		columns.push([`F1@50${title}`, known("f1", runIndex), "number"]);
	});
	section("classes", "Classes", table(columns, rows, [0, "ascending"], "classes"));
}

function uncertain() {
	const unit = (one) => videos[one.video].times.unit ? "frame " : "";
	const nameOf = (one) => videos[one.video].name;
	const timeOf = (one, frame) => clockOf(videos[one.video])(frame);
	const start = (one) => timeOf(one, one.start);
	const stop = (one) => timeOf(one, one.stop);
	const columnsOf = (runIndex) => [
		["video", (one) => link(one.video, nameOf(one), runIndex, one.index), "name", nameOf],
		["from", (one) => unit(one) + formatted(start(one), 2), "number", start],
		["to", (one) => formatted(stop(one), 2), "number", stop],
		classColumnOf((one) => one.label, "predicted"),
		classColumnOf((one) => one.true, "true, mostly"),
		["confidence (%)", (one) => 100 * one.confidence, "number"],
	];
	const explanation = note("Predicted segments with the lowest mean confidence: where to look next.");
	section("uncertain", "Least certain segments", explanation, ...perRun((run, runIndex) => {
		if (!run.uncertain.length) return make("p", {}, "There are no segments.");
		return table(columnsOf(runIndex), run.uncertain, [5, "ascending"], "least certain segments");
	}));
}

function reliability() {
	if (!runs.some((run) => run.result.reliability)) return;
	const plots = perRun(({result}) => result.reliability && reliabilityPlot(result.reliability)).filter(Boolean);
	const explanation = note("Frames by the confidence of their predicted class: where the line is below the "
		+ "diagonal the model is too sure. Larger dots are more frames.");
	section("reliability", "Reliability", explanation, make("div", {className: "pair"}, ...plots));
}

function reliabilityPlot({before, after}) {
	const size = 260;
	const left = 40;
	const top = 8;
	const at = (x, y) => [left + x * size, top + (1 - y) * size];
	const svg = draw("svg", {viewBox: `0 0 ${size + left + 12} ${size + 46}`, width: size + left + 12, role: "img"});
	for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
		const [x, y] = at(tick, tick);
		svg.append(draw("line", {class: "axis", x1: x, x2: x, y1: top, y2: top + size}));
		svg.append(draw("line", {class: "axis", x1: left, x2: left + size, y1: y, y2: y}));
		svg.append(draw("text", {x, y: top + size + 16, "text-anchor": "middle"}, `${100 * tick}`));
		svg.append(draw("text", {x: left - 5, y: y + 4, "text-anchor": "end"}, `${100 * tick}`));
	}
	const [x1, y1] = at(0, 0);
	const [x2, y2] = at(1, 1);
	svg.append(draw("line", {x1, y1, x2, y2, stroke: "var(--soft)", "stroke-dasharray": "2 4"}));
	const below = {x: left + size / 2, y: top + size + 34, "text-anchor": "middle"};
	svg.append(draw("text", below, "confidence (%); correct frames (%) upwards"));
	const errors = [];
	[["scores", before], ["confidences", after]].forEach(([name, measured], lineIndex) => {
		if (!measured) return;
		const bins = measured.bins.filter(({frames}) => frames);
		const most = Math.max(...bins.map(({frames}) => frames));
		const look = lookOf(lineIndex);
		const points = bins.map(({confidence, accuracy}) => at(confidence, accuracy).join(",")).join(" ");
		svg.append(draw("polyline", {points, fill: "none", "stroke-width": 2, ...look}));
		for (const {frames, confidence, accuracy} of bins) {
			const [cx, cy] = at(confidence, accuracy);
			const words = `${name}: ${frames} frames, confidence ${formatted(100 * confidence)}, `
				+ `correct ${formatted(100 * accuracy)}`;
			const dot = {cx, cy, r: 2 + 6 * Math.sqrt(frames / most), fill: look.stroke};
			svg.append(draw("circle", dot, draw("title", {}, words)));
		}
		errors.push([name, formatted(measured.ece), lineIndex]);
	});
	const label = errors.map(([name, error]) => `calibration error of the ${name} ${error}`).join(", ");
	svg.setAttribute("aria-label", label);
	const legend = errors.map(([name, error, lineIndex]) => {
		return make("li", {}, lineOf(lineIndex), ` ${name}, calibration error ${error}`);
	});
	return make("div", {}, svg, make("ul", {}, ...legend));
}

function settings() {
	const columns = [["", ([name]) => name], ["", ([, version]) => version]];
	section("settings", "Settings and versions", ...perRun((run) => {
		const versions = table(columns, Object.entries(run.versions), null, "versions");
		const config = make("details", {}, make("summary", {}, "config.yaml"), make("pre", {}, run.config));
		return make("div", {}, make("p", {}, run.path), run.choice && make("p", {}, run.choice), versions, config);
	}));
}

// --- the page ----------------------------------------------------------------------------------

const SECTIONS = [
	inShort, numbers, curve, timelineSection, changes, confusion, unseen, boundaries, classTable, uncertain, reliability,
	settings,
];
main.append(make("h1", {}, document.title), nav);
for (const build of SECTIONS) build();

window.addEventListener("beforeprint", () => {
	for (const videoIndex of matchingVideos()) timelineOf(videoIndex).draw(true);
	for (const details of document.querySelectorAll("details")) details.open = true;
});
globalThis.reportIsReady = true;
}
