/* The sections of the report, in the order of `SECTIONS` at the end. Each function there appends its section or, if the
runs have nothing for it, none. `data` is what `summary` of fact_clip/report/summary.py returns:
{classes, runs, videos, sweeps}.

classes[i]  {name, colour, number, group, factors}; colour may be null; group is "" if unknown.
videos[i]   {name, frames, times, truth, runs}
  times     {step} or {starts} in seconds, starts with the end of the video; {step: 1, unit: "frames"} if unknown.
  truth     label runs without confidence; each frame has the label of the first run that has one.
  runs      one element for each run: null if it lacks the video, or {p, f, t, figures}. p, f and t are label runs of
            the prediction, the frame voter and the token voter; t may be missing. figures: [frame accuracy, edit, F1@50]
            in percent, null without a labelled frame.
  A list of label runs is flat: of each run class index + 1 (0: no label), frames[, mean confidence in percent].
runs[i]     {title, path, written, seed, members, data, choice, versions, config, result, numbers, classes, confusion,
            factors, boundaries, uncertain, unseen}
  path, seed, data: the folder of the run, its seed and the name of its data set; written: when it was evaluated;
            choice: the decoding settings that validation videos chose, in words, "" if they did not.
  members   the number of models; `result.members`, which a run of one model lacks, is a list of their metrics.
  result    evaluation.json without per_class, run and videos (docs/formats.md).
  config    the text of config.yaml; versions: {name: version}.
  numbers   [[name, value, note]]
  classes   [{class, name, group, training, frames, segments, predicted_segments, accuracy, f1}]; training: frames.
  confusion [[true, predicted, frames, frames of the true class]], most frequent first, perhaps not all of them;
            factors: {slot: {names, cells}}, cells alike, of names.
  boundaries {unit, median}, median may be null or "infinite".
  uncertain [{video, index, start, stop, label, true, confidence}]; index: of the predicted segment; start, stop: frames;
            confidence: 0..1.
  unseen    [{name, level, frames, accuracy, unseen_labels_only, taken: [{name, share, seen, shares}]}]; taken: the classes
            that its frames are mostly called by mistake; share: percent of its frames; seen: whether that class is a seen
            one; shares: whether it has a factor in common with this class.
sweeps[i]   {axes, runs, figures}; runs: their number; figures: [[name, mean, standard deviation]].

Classes and videos are given as indices of `classes` and `videos` of the page, and by name in `unseen` alone; the class index
-1 is no label. `run.classes` are rows of a table, not the classes of the page.
Text goes in as textContent. */
"use strict";
window.addEventListener("error", ({message}) => {
	const problem = `This report is damaged: ${message}. Write it again with fact-clip report.`;
	document.getElementById("report").textContent = problem;
});
{ // a scope of its own: all scripts of the page share one
const data = JSON.parse(document.getElementById("data").textContent);
const {classes, runs, videos, sweeps} = data;
const several = runs.length > 1;
// PageParts: page_parts.js, PageTimelines: page_timelines.js, PageCharts: page_charts.js, Timeline: timeline/timeline.js
//   make(tag, properties, ...children)   an element; children that are null are left out
//   formatted(number, digits = 1)        its text, "–" for null
//   table(columns, rows, sorted, caption)   column: [heading, cell of a row, kind, value to sort by]; kind: "number", "name",
//       "number change" or left out (a cell that is a number has one decimal, so counts are given as text); sorted: [column, "ascending" or "descending"] to begin with, null: it cannot be sorted
const {make, formatted, signed, difference, isUnseen, note, table} = PageParts;
const timelines = PageTimelines(data);
const main = document.getElementById("report");

// --- names and sections ------------------------------------------------------------------------

const classNameOf = (classIndex) => classIndex < 0 ? "no label" : classes[classIndex].name;

/** Return the order of a table that begins with the smallest value of a column; see `table`. */
const sortedBy = (heading, columns) => [columns.findIndex(([title]) => title === heading), "ascending"];

/** Return the coloured square of a class, with its number. */
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

/** Return a column of a `table` with classes; `indexOf` gives the class index of a row. */
function classColumnOf(indexOf, heading = "class") {
	return [heading, (row) => classBadge(indexOf(row)), "name", (row) => classNameOf(indexOf(row))];
}

/** Return a button that shows a predicted segment of a run in the timeline of its video. */
function link(videoIndex, words, runIndex = 0, segmentIndex = 0) {
	const button = make("button", {type: "button", title: "show in its timeline"}, words);
	button.addEventListener("click", () => timelines.show(videoIndex, runIndex, segmentIndex));
	return button;
}

const nav = make("nav", {ariaLabel: "sections"});

/** Append a section to the page, and a link to it. Return its element, for further children. */
function section(id, title, ...children) {
	const open = id === "short" || id === "videos"; // the first look; readers unfold the other sections
	const details = make("details", {open}, make("summary", {}, make("h2", {}, title)), ...children);
	const unfold = () => {
		details.open = true;
	};
	nav.append(make("a", {href: `#${id}`, onclick: unfold}, title));
	main.append(make("section", {id}, details));
	return details;
}

/** Return what `build(run, runIndex)` makes for each run, under the title of the run where there are several. */
function perRun(build) {
	return runs.map((run, runIndex) => {
		const content = build(run, runIndex);
		return content && make("div", {}, several ? make("h3", {}, run.title) : null, content);
	});
}

// --- the first page ----------------------------------------------------------------------------

const isAction = (classIndex) => classIndex >= 0 && classes[classIndex].group !== "background";

function inShort() {
	section("short", "In short", ...perRun((run, runIndex) => {
		const cautions = (run.result.cautions ?? []).map((line) => `Caution: ${line}.`);
		const items = [...cautions, ...sentences(run)].map((line) => make("li", {}, line));
		return make("ul", {}, ...items, worstVideo(runIndex), mostConfused(run));
	}));
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

/** Return the segments of all classes of a run; `key` is "segments" or "predicted_segments". */
function segmentCount({classes: rows}, key) {
	return rows.reduce((sum, row) => sum + row[key], 0);
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
	const wrong = cells.filter(([actual, guess]) => actual !== guess && isAction(actual) && isAction(guess));
	const [actual, guess, frames, total] = wrong.reduce((most, cell) => cell[2] > most[2] ? cell : most, [-1, -1, 0]);
	if (!frames) return null;
	const share = formatted(100 * frames / total);
	return make("li", {}, "Most confused: ", classBadge(actual), " is called ", classBadge(guess),
		` in ${share} % of its frames.`);
}

// --- numbers -----------------------------------------------------------------------------------

function numbers() {
	// The rows of the first table are names of figures. Its columns are runs, which may lack a figure.
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
	// The rows of the second table: [name, text of a run].
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

/** Return facts [name, text of a run]: the range of a figure over the models of an ensemble, each evaluated alone. */
function spreads() {
	if (!runs.some((run) => run.result.members)) return [];
	const keys = [["frame_accuracy", "accuracy"], ["edit", "edit"], ["f1@50", "F1@50"]];
	return keys.map(([key, name]) => [`${name} of the models alone`, (run) => {
		const values = (run.result.members ?? []).map((metrics) => metrics[key]);
		return values.length ? `${formatted(Math.min(...values))} to ${formatted(Math.max(...values))}` : "–";
	}]);
}

/** Return a table of the figures with and without each correction, and of each level of unseen classes. */
function correctionTable(run) {
	const zero = run.result.zero_shot;
	if (!zero) return null;
	// A row is the key of a figure, which all ways and levels have. Levels also have `classes`, which no row shows.
	const keys = Object.keys(Object.values(zero.ways)[0]);
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

function curve() {
	const titled = runs.map((run) => ({title: run.title, zero: run.result.zero_shot})).filter(({zero}) => zero);
	if (!titled.length) return;
	const [drawing, legend] = PageCharts.curve(titled);
	const explanation = note("S over U as gamma, what is taken from the scores of seen classes, grows. "
		+ "Dot: the gamma in use, chosen on validation videos. "
		+ "Ring: the best H on the curve, an oracle that has seen the test labels.");
	const beside = make("div", {className: "grow"}, legend, explanation);
	section("curve", "Seen and unseen", make("div", {className: "pair"}, drawing, beside));
}

// --- timelines ---------------------------------------------------------------------------------

function timelineSection() {
	const used = [...classes.keys()].filter((classIndex) => classes[classIndex].colour);
	const badges = used.map((classIndex) => make("div", {}, classBadge(classIndex)));
	const legend = make("details", {open: used.length <= 30},
		make("summary", {}, `${used.length} actions and their colours`),
		make("div", {className: "legend"}, ...badges));
	const explanation = make("p", {className: "soft keys"},
		"Truth, the decoded prediction, and the best class of the frame and of the token voter. "
		+ "Faint: little confidence. Dashes on top: a class without training frames. ", make("br"),
		"Keys in a timeline: arrows for segments and rows, + and - zoom, 0 shows all, Shift and arrows pan. "
		+ "Double click zooms to a segment.");
	section("videos", "Timelines", timelines.tools, explanation, legend, timelines.list);
}

// --- what changed ------------------------------------------------------------------------------

function changes() {
	if (!several) return;
	// A row has `accuracies`, one for each run: null or undefined where the run lacks the video or the class, or has no
	// labelled frame of it.
	const byVideo = videos.map((video, videoIndex) => ({videoIndex, accuracies: timelines.accuraciesOf(video)}));
	const byClass = classes.map((one, classIndex) => ({classIndex, accuracies: runs.map((run) => {
		const row = run.classes.find((candidate) => candidate.class === classIndex);
		return row?.frames ? row.accuracy : null;
	})}));
	const columns = runs.map((run, runIndex) => [run.title, ({accuracies}) => accuracies[runIndex], "number"]);
	const delta = ({accuracies}) => difference(accuracies.at(-1), accuracies[0]);
	columns.push(["change", (row) => signed(delta(row)), "number change", delta]);
	const isKnown = ({accuracies}) => accuracies.some((accuracy) => accuracy != null);
	const nameOf = ({videoIndex}) => videos[videoIndex].name;
	const videoColumn = ["video", (row) => link(row.videoIndex, nameOf(row)), "name", nameOf];
	const classColumn = classColumnOf(({classIndex}) => classIndex);
	// Both tables begin with the largest loss. "change" is their last column, as a name column precedes `columns`.
	const order = [columns.length, "ascending"];
	section("changes", "What changed",
		note(`Accuracy by video and by class; change: ${runs.at(-1).title} minus ${runs[0].title}.`),
		make("div", {className: "pair"},
			table([videoColumn, ...columns], byVideo.filter(isKnown), order, "change by video"),
			table([classColumn, ...columns], byClass.filter(isKnown), order, "change by class")));
}

// --- confusions --------------------------------------------------------------------------------

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

/** Return the drawing and the table of a confusion; `kind` is "class" or the slot whose factors are confused. */
function matrix(run, kind) {
	const isClass = kind === "class";
	const cells = isClass ? run.confusion : run.factors[kind]?.cells ?? [];
	if (!cells.length) return [make("p", {}, "There are no labelled frames.")];
	const nameOf = (index) => isClass ? classes[index].name : run.factors[kind].names[index];
	const badgeOf = (index) => isClass ? `${classes[index].number ?? "–"}` : `${index + 1}`;
	const nodeOf = isClass ? classBadge : (index) => make("span", {}, nameOf(index));
	const wrong = cells.filter(([actual, guess]) => actual !== guess);
	const columns = [
		["true", ([actual]) => nodeOf(actual), "name"],
		["predicted", ([, guess]) => nodeOf(guess), "name"],
		["frames", ([, , frames]) => `${frames}`, "number"],
		["share (%)", ([, , frames, total]) => 100 * frames / total, "number"],
	];
	const errors = table(columns, wrong.slice(0, 20), null, "largest confusions");
	return [PageCharts.confusion(cells, kind, nameOf, badgeOf), errors];
}

// --- unseen classes, boundaries, classes, uncertain segments -----------------------------------

/** Show the rows `unseen` of each run, whose keys are described at the top: `unseen_errors` of summary.py. */
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
		return run.unseen.length ? table(columns, run.unseen, sortedBy("accuracy", columns), "unseen classes") : null;
	}));
}

function takenFor({name, share, seen, shares}) {
	const remarks = [seen ? "seen" : "not seen"];
	if (shares) remarks.push("shares a factor");
	return `${name} ${share.toFixed(0)} % (${remarks.join(", ")})`;
}

function boundaries() {
	const explanation = note("The distance is that of each true boundary to the nearest predicted one, whatever the "
		+ "labels are.");
	const columns = [["segments", ([name]) => name], ["", ([, number]) => `${number}`, "number"]];
	section("boundaries", "Segments and boundaries", explanation, ...perRun((run) => {
		const {unit, median} = run.boundaries;
		const actual = segmentCount(run, "segments");
		const predicted = segmentCount(run, "predicted_segments");
		return table(columns, [
			["true", actual],
			["predicted", predicted],
			["predicted for each true one", actual ? (predicted / actual).toFixed(2) : "–"],
			[`median distance of boundaries (${unit})`, formatted(median, 2)],
		], null, "segments and boundaries");
	}));
}

function classTable() {
	// A row of the table has `rowOfRun`: of each run its row of the class in `run.classes`, undefined if it lacks the class.
	const rowsOfClass = (classIndex) => runs.map((run) => run.classes.find((row) => row.class === classIndex));
	const rows = classes.map((one, classIndex) => ({classIndex, rowOfRun: rowsOfClass(classIndex)}))
		.filter(({rowOfRun}) => rowOfRun.some(Boolean));
	// Without a true frame a figure of the class means nothing.
	const known = (key, runIndex) => ({rowOfRun}) => rowOfRun[runIndex]?.frames ? rowOfRun[runIndex][key] : null;
	const columns = [classColumnOf(({classIndex}) => classIndex)];
	runs.forEach((run, runIndex) => {
		const title = several ? ` ${run.title}` : "";
		const countColumn = (heading, key) => {
			const countOf = ({rowOfRun}) => rowOfRun[runIndex]?.[key] ?? null;
			columns.push([`${heading}${title}`, (row) => `${countOf(row) ?? "–"}`, "number", countOf]);
		};
		if (run.classes.some(({group}) => group)) {
			columns.push([`group${title}`, ({rowOfRun}) => rowOfRun[runIndex]?.group ?? "–"]);
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
	const unit = (segment) => videos[segment.video].times.unit ? "frame " : "";
	const nameOf = (segment) => videos[segment.video].name;
	const timeOf = (segment, frame) => timelines.clockOf(videos[segment.video])(frame);
	const start = (segment) => timeOf(segment, segment.start);
	const stop = (segment) => timeOf(segment, segment.stop);
	const columnsOf = (runIndex) => [
		["video", (segment) => link(segment.video, nameOf(segment), runIndex, segment.index), "name", nameOf],
		["from", (segment) => unit(segment) + formatted(start(segment), 2), "number", start],
		["to", (segment) => formatted(stop(segment), 2), "number", stop],
		classColumnOf((segment) => segment.label, "predicted"),
		classColumnOf((segment) => segment.true, "true, mostly"),
		["confidence (%)", (segment) => 100 * segment.confidence, "number"],
	];
	const explanation = note("Predicted segments with the lowest mean confidence: where to look next.");
	section("uncertain", "Least certain segments", explanation, ...perRun((run, runIndex) => {
		if (!run.uncertain.length) return make("p", {}, "There are no segments.");
		const columns = columnsOf(runIndex);
		return table(columns, run.uncertain, sortedBy("confidence (%)", columns), "least certain segments");
	}));
}

function reliability() {
	if (!runs.some((run) => run.result.reliability)) return;
	const plots = perRun(({result}) => result.reliability && PageCharts.reliability(result.reliability)).filter(Boolean);
	const explanation = note("Frames by the confidence of their predicted class: where the line is below the "
		+ "diagonal the model is too sure. Larger dots are more frames.");
	section("reliability", "Reliability", explanation, make("div", {className: "pair"}, ...plots));
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
	timelines.drawAll();
	for (const details of document.querySelectorAll("details")) details.open = true;
});
globalThis.reportIsReady = true;
}
