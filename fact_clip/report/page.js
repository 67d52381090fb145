/* The report. `data` is what fact_clip/report/summary.py makes: classes, runs, videos, sweeps. Text goes in as textContent. */
"use strict";
window.addEventListener("error", ({message}) => {
  document.getElementById("report").textContent = `This report is damaged: ${message}. Write it again with fact-clip report.`;
});
{
const data = JSON.parse(document.getElementById("data").textContent);
const {classes, runs, videos, sweeps} = data, several = runs.length > 1;
const main = document.getElementById("report");

/* --- small helpers ---------------------------------------------------------------------------------------------- */

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  node.append(...children.filter((child) => child != null));
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const text = (value, digits = 1) => value == null ? "–" : typeof value === "number" ? value.toFixed(digits).replace("-", "−") : value;
const signed = (value) => value == null ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(1)}`;
const isNew = (one) => one.group === "unseen" || one.group === "validation-unseen";
const named = (place) => place < 0 ? "no label" : classes[place].name;

function swatch(one) {
  const node = make("b", {className: isNew(one) ? "swatch unseen" : "swatch"});
  if (one.colour) Object.assign(node.style, {background: one.colour, color: Timeline.inkOn(Timeline.rgb(one.colour))});
  node.textContent = one.colour ? one.number : "";
  return node;
}

function labelled(place) {
  const one = classes[place];
  return one ? make("span", {}, swatch(one), one.name, isNew(one) ? ` (${one.group})` : "") : make("span", {}, "no label");
}

/* A table whose columns are [heading, cell of a row, "number" or "name", value to sort by]. */
function table(columns, rows, sorted = null, caption = "") {
  const body = make("tbody"), heads = columns.map(([heading, , kind]) => make("th", {className: kind ?? "", scope: "col"}, heading));
  const sortValue = (column, row) => (column[3] ?? column[1])(row);
  function fill(list) {
    body.replaceChildren(...list.map((row) => make("tr", {}, ...columns.map(([, cell, kind = ""]) => {
      const value = cell(row), node = make("td", {className: kind});
      node.append(value instanceof Node ? value : text(value));
      if (kind.includes("change")) node.classList.add({"+": "up", "−": "down"}[value[0]] ?? "same");
      return node;
    }))));
  }
  function sort(place, way) {
    heads.forEach((head, at) => at === place ? head.setAttribute("aria-sort", way) : head.removeAttribute("aria-sort"));
    const sign = way === "ascending" ? 1 : -1, column = columns[place];
    fill([...rows].sort((left, right) => {
      const [a, b] = [sortValue(column, left), sortValue(column, right)];
      if (a == null || b == null) return (a == null) - (b == null); // what is unknown comes last
      return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
    }));
  }
  if (sorted) heads.forEach((head, place) => {
    const button = make("button", {type: "button", textContent: head.textContent});
    button.addEventListener("click", () => sort(place, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending"));
    head.replaceChildren(button);
  });
  if (sorted) sort(...sorted);
  else fill(rows);
  const node = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  if (caption) node.setAttribute("aria-label", caption);
  return make("div", {className: "wide"}, node);
}

const nav = make("nav", {ariaLabel: "sections"});

function section(id, title, ...children) {
  const open = id === "short" || id === "videos"; // the others are details
  const details = make("details", {open}, make("summary", {}, make("h2", {}, title)), ...children);
  nav.append(make("a", {href: `#${id}`, onclick: () => { details.open = true; }}, title));
  main.append(make("section", {id}, details));
  return details;
}

const note = (...words) => make("p", {className: "soft"}, ...words);

/* For each run, under its title where there are several. */
function each(build) {
  return runs.map((run, place) => {
    const found = build(run, place);
    return found && make("div", {}, several ? make("h3", {}, run.title) : null, found);
  });
}

/* --- rows ---------------------------------------------------------------------------------------------------------- */

function clockOf(video) { // frame -> seconds
  const {step, starts} = video.times;
  return starts ? (frame) => starts[frame] : (frame) => frame * step;
}

function segmentsOf(numbers, clock, hasConfidence) {
  const found = [];
  let frame = 0;
  for (let at = 0; at < numbers.length; at += hasConfidence ? 3 : 2) {
    const one = classes[numbers[at] - 1], start = frame;
    frame += numbers[at + 1];
    found.push({
      start: clock(start), stop: clock(frame), label: one?.name ?? "no label", unseen: !!one && isNew(one),
      confidence: hasConfidence ? numbers[at + 2] / 100 : null,
    });
  }
  return found;
}

const colours = Object.fromEntries(classes.map((one) => [one.name, one]));

/* --- the first page ------------------------------------------------------------------------------------------------- */

const isAction = (place) => place >= 0 && classes[place].group !== "background";

function inShort() {
  section("short", "In short", ...each((run, place) => {
    const {metrics: figures, zero_shot: zero} = run.result, {cuts, boundaries: {unit, median}} = run, used = zero?.ways["in use"];
    const lines = [`${text(figures.frame_accuracy)} % of all frames have the right name.`,
      `Segments: F1 ${text(figures["f1@10"])} at 10 % overlap, ${text(figures["f1@50"])} at 50 %.`,
      `The order of the actions: ${text(figures.edit)} of 100 (edit score).`,
      `${cuts.predicted} segments are predicted, ${cuts.true} are true.`,
      `${text(100 * cuts.misnamed / Math.max(cuts.true, 1))} % of the true segments have another name in most of their frames.`,
      median == null ? null : `Half of the true boundaries have a predicted one within ${text(median, 2)} ${unit}.`,
      used ? `By class: ${text(used.S)} % of the frames of a class that was trained are right, ${text(used.U)} % of one that was not.` : null,
    ].filter(Boolean).map((line) => make("li", {}, line));
    const here = videos.map((video, at) => ({at, figures: video.runs[place]?.figures})).filter((one) => one.figures);
    if (here.length) {
      const worst = here.reduce((low, one) => one.figures[0] < low.figures[0] ? one : low);
      lines.push(make("li", {}, "The worst video is ", link(worst.at, videos[worst.at].name, place),
        `: ${text(worst.figures[0])} % of its frames are right.`));
    }
    const [true_, guess, frames] = run.confusion.filter(([one, other]) => one !== other && [one, other].every(isAction))
      .reduce((most, cell) => cell[2] > most[2] ? cell : most, [-1, -1, 0]);
    if (frames) {
      const total = run.confusion.reduce((sum, cell) => sum + (cell[0] === true_ ? cell[2] : 0), 0);
      lines.push(make("li", {}, "Most confused: ", labelled(true_), " is called ", labelled(guess), ` in ${text(100 * frames / total)} % of its frames.`));
    }
    return make("ul", {}, ...lines);
  }));
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

function spreads() { // the lowest and highest figure of the models alone
  const keys = [["frame_accuracy", "accuracy"], ["edit", "edit"], ["f1@50", "F1@50"]];
  return runs.some((run) => run.result.members) ? keys.map(([key, name]) => [`${name} of the models alone`, (run) => {
    const values = (run.result.members ?? []).map((one) => one[key]);
    return values.length ? `${text(Math.min(...values))} to ${text(Math.max(...values))}` : "–";
  }]) : [];
}

function numbers() {
  const names = [...new Set(runs.flatMap((run) => run.numbers.map(([name]) => name)))];
  const of = runs.map((run) => Object.fromEntries(run.numbers.map(([name, figure]) => [name, figure])));
  const notes = Object.fromEntries(runs.flatMap((run) => run.numbers.map(([name, , words]) => [name, words])));
  const columns = [["", (name) => name]];
  runs.forEach((run, place) => columns.push([several ? run.title : "", (name) => text(of[place][name]), "number"]));
  if (several) columns.push(["change", (name) => signed(difference(of.at(-1)[name], of[0][name])), "number"]);
  columns.push(["", (name) => make("span", {className: "soft"}, notes[name])]);
  const facts = [
    ["split", (run) => run.result.split], ["videos", (run, place) => videos.filter((one) => one.runs[place]).length],
    ["data", (run) => run.data], ["seed", (run) => run.seed], ["models", (run) => run.members], ...spreads(),
    ["metric profile", (run) => run.result.metrics.profile],
    ["background in edit and F1", (run) => run.result.background_counted ? "counted" : "not counted"],
    ["evaluated", (run) => run.written], ["commit of the training", (run) => run.versions["trained by commit"] ?? "unknown"],
    ["commit of the evaluation", (run) => run.versions["evaluated by commit"]],
  ];
  const figures = table(columns, names);
  if (Object.values(notes).some(Boolean)) Object.assign(figures.style, {flex: "1 1 36rem"});
  const node = section("numbers", "Numbers", make("div", {className: "pair"}, figures, table(
    [["", ([name]) => name], ...runs.map((run, place) =>
      [several ? run.title : "", ([, of]) => `${of(run, place)}`])], facts)));
  node.append(...each(ways).filter(Boolean), ...sweeps.map(sweepTable));
  if (several) node.append(note(`change: ${runs.at(-1).title} minus ${runs[0].title}, in points of percent.`));
}

const difference = (last, first) => last == null || first == null ? null : last - first;

function ways(run) {
  const zero = run.result.zero_shot;
  if (!zero) return null;
  const keys = Object.keys(Object.values(zero.ways)[0]).filter((key) => !key.includes("classes"));
  const levels = Object.entries(zero.by_level).map(([level, figures]) => [`unseen: ${level}`, figures]);
  const columns = [...Object.entries(zero.ways), ...levels].map(([name, figures]) => [name, (key) => figures[key], "number"]);
  return make("details", {}, make("summary", {}, "with and without corrections, and by level"),
    table([["", (key) => key.replaceAll("_", " ")], ...columns], keys));
}

function sweepTable(sweep) {
  const rows = Object.entries(sweep.metrics);
  return make("div", {}, make("h3", {}, `Sweep over ${Object.keys(sweep.axes).join(", ")}: ${Object.keys(sweep.runs).length} runs`),
    table([["", ([name]) => name.replaceAll("_", " ")], ["mean", ([, mean]) => mean, "number"],
      ["standard deviation", ([name]) => sweep.sd[name], "number"]], rows));
}

/* --- the curve of S over U ------------------------------------------------------------------------------------------ */

const STROKES = ["none", "7 4", "2 4", "10 4 2 4"], LINES = ["#3b7dd8", "#d9822b", "#2a9d5c", "#a259c4", "#c94f6d"];

const lineOf = (place) => draw("svg", {width: 34, height: 10, "aria-hidden": true}, draw("line", {x1: 0, x2: 34, y1: 5, y2: 5,
  stroke: LINES[place % 5], "stroke-width": 2, "stroke-dasharray": STROKES[place % 4]}));

function curve() {
  const shown = runs.map((run, place) => ({run, place, zero: run.result.zero_shot})).filter(({zero}) => zero);
  if (!shown.length) return;
  const size = 360, left = 46, top = 10, at = (u, s) => [left + u / 100 * size, top + size - s / 100 * size];
  const svg = draw("svg", {viewBox: `0 0 ${size + left + 20} ${size + 52}`, width: size + left + 20, role: "img"});
  for (let tick = 0; tick <= 100; tick += 20) {
    const [x, y] = at(tick, tick);
    svg.append(draw("line", {class: "axis", x1: x, x2: x, y1: top, y2: top + size}));
    svg.append(draw("line", {class: "axis", x1: left, x2: left + size, y1: y, y2: y}));
    svg.append(draw("text", {x, y: top + size + 16, "text-anchor": "middle"}, `${tick}`));
    svg.append(draw("text", {x: left - 6, y: y + 4, "text-anchor": "end"}, `${tick}`));
  }
  svg.append(draw("text", {x: left + size / 2, y: top + size + 36, "text-anchor": "middle"}, "U, accuracy of unseen classes (%)"));
  svg.append(draw("text", {transform: `translate(12 ${top + size / 2}) rotate(-90)`, "text-anchor": "middle"},
    "S, accuracy of seen classes (%)"));
  const words = [];
  for (const {run, place, zero} of shown) {
    const {seen, unseen, gamma} = zero.curve, colour = LINES[place % 5];
    const points = unseen.map((u, index) => at(u, seen[index]).map((number) => number.toFixed(1)).join(","));
    svg.append(draw("polyline", {points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 2,
      "stroke-dasharray": STROKES[place % 4]}));
    const used = zero.ways["in use"], [x, y] = at(used.U, used.S);
    svg.append(draw("circle", {cx: x, cy: y, r: 5, fill: colour}, draw("title", {}, `${run.title}: gamma in use`)));
    const means = seen.map((s, index) => s + unseen[index] ? 2 * s * unseen[index] / (s + unseen[index]) : 0);
    const best = means.indexOf(Math.max(...means)), [bx, by] = at(unseen[best], seen[best]);
    svg.append(draw("circle", {cx: bx, cy: by, r: 6, fill: "none", stroke: colour, "stroke-width": 2},
      draw("title", {}, `${run.title}: best H, gamma ${gamma[best].toFixed(2)}`)));
    words.push(`${run.title}: AUSUC ${text(zero.ausuc)}, in use S ${text(used.S)} and U ${text(used.U)}`);
  }
  svg.setAttribute("aria-label", `Curve of S over U. ${words.join("; ")}`);
  const legend = shown.map(({run, place, zero}) => make("li", {}, lineOf(place),
    ` ${run.title}, AUSUC ${text(zero.ausuc)}`));
  section("curve", "Seen and unseen", make("div", {className: "pair"}, svg, make("div", {className: "grow"}, make("ul", {}, ...legend),
    note("S over U as gamma, what is taken from the scores of seen classes, grows. Dot: the gamma in use, chosen on " +
      "validation videos. Ring: the best H on the curve, an oracle that has seen the test labels."))));
}

/* --- timelines -------------------------------------------------------------------------------------------------------- */

const shown = new Map(); // place of a video -> its article
const timelines = new Map(); // place of a video -> its timeline

const ROWS = {p: "prediction", f: "frames", t: "tokens"};

function kindsOf(run) { // the rows of a run that are shown
  return Object.keys(ROWS).filter((key) => run?.[key] && (key === "p" || voters.checked));
}

function rowsOf(video) {
  const clock = clockOf(video), rows = [{name: "truth", segments: segmentsOf(video.truth, clock, false)}];
  video.runs.forEach((run, place) => {
    for (const key of kindsOf(run)) {
      const title = several ? key === "p" ? runs[place].title : `${runs[place].title}: ${ROWS[key]}` : ROWS[key];
      rows.push({name: title, segments: segmentsOf(run[key], clock, true)});
    }
  });
  return {rows, duration: clock(video.frames)};
}

const predictionRow = (video, run) => video.runs.slice(0, run).reduce((sum, one) => sum + kindsOf(one).length, 1);

const found = new Map(); // place of a video -> the words that a search looks through
function wordsOf(place) {
  if (!found.has(place)) {
    const video = videos[place], labels = new Set([video.name]);
    for (const {label} of segmentsOf(video.truth, (frame) => frame, false)) labels.add(label);
    for (const run of video.runs) if (run) for (const {label} of segmentsOf(run.p, (frame) => frame, true)) labels.add(label);
    found.set(place, [...labels].join("\n").toLowerCase());
  }
  return found.get(place);
}

function timelineOf(place) {
  if (!timelines.has(place)) {
    const holder = shown.get(place).lastElementChild, video = videos[place];
    holder.style.minHeight = "";
    const unit = video.times.unit;
    timelines.set(place, new Timeline(holder, {...rowsOf(video), colours, label: `Timeline of ${video.name}`, unit}));
  }
  return timelines.get(place);
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) {
    watcher.unobserve(entry.target);
    timelineOf(Number(entry.target.dataset.video));
  }
}, {rootMargin: "400px"});

const voters = make("input", {type: "checkbox", checked: !several});
const search = make("input", {type: "search", placeholder: "video or action", ariaLabel: "search videos and actions"});
const order = make("select", {ariaLabel: "order"});
const count = make("span", {className: "soft", role: "status"});
const list = make("div");

function articleOf(place) {
  if (!shown.has(place)) {
    const video = videos[place], figures = video.runs.map((run, at) => run && [runs[at].title, run.figures]).filter(Boolean);
    const words = figures.map(([title, [accuracy, edit, f1]]) =>
      `${several ? `${title}: ` : ""}accuracy ${text(accuracy)}, edit ${text(edit)}, F1@50 ${text(f1)}`);
    const holder = make("div", {});
    holder.style.minHeight = `${32 * (1 + video.runs.length * (voters.checked ? 3 : 1)) + 22}px`;
    const node = make("article", {className: "video"}, make("h3", {}, video.name, ...words.map((word) => make("span", {}, word))), holder);
    node.dataset.video = place;
    shown.set(place, node);
    watcher.observe(node);
  }
  return shown.get(place);
}

const mean = (video, figure) => {
  const known = video.runs.filter(Boolean).map((run) => run.figures[figure]);
  return known.reduce((sum, one) => sum + one, 0) / known.length;
};
const change = (video) => Math.abs(difference(video.runs.at(-1)?.figures[0], video.runs[0]?.figures[0]) ?? -1);
const ORDERS = {
  "accuracy, lowest first": (a, b) => mean(a, 0) - mean(b, 0), "accuracy, highest first": (a, b) => mean(b, 0) - mean(a, 0),
  "edit, lowest first": (a, b) => mean(a, 1) - mean(b, 1), "F1@50, lowest first": (a, b) => mean(a, 2) - mean(b, 2),
  name: (a, b) => a.name.localeCompare(b.name),
};
if (several) ORDERS["change of accuracy, largest first"] = (a, b) => change(b) - change(a);

function listed() {
  const asked = search.value.trim().toLowerCase();
  return videos.map((video, place) => place).filter((place) => !asked || wordsOf(place).includes(asked))
    .sort((a, b) => ORDERS[order.value](videos[a], videos[b]));
}

function arrange() {
  const places = listed();
  list.replaceChildren(...places.map(articleOf));
  if (!places.length) list.append(make("p", {}, videos.length ? "No video has such a name or action." : "There are no videos."));
  count.textContent = `${places.length} of ${videos.length} videos`;
}

function show(place, run, index) { // bring a predicted segment of a video into view
  if (!listed().includes(place)) search.value = "";
  arrange();
  const timeline = timelineOf(place);
  shown.get(place).scrollIntoView({block: "center"});
  timeline.select(predictionRow(videos[place], run), index);
  shown.get(place).querySelector("canvas").focus({preventScroll: true});
}

function timelineSection() {
  order.append(...Object.keys(ORDERS).map((name) => make("option", {}, name)));
  order.addEventListener("change", arrange);
  search.addEventListener("input", arrange);
  voters.addEventListener("change", () => timelines.forEach((timeline, place) => timeline.setRows(rowsOf(videos[place]).rows)));
  const used = classes.map((one, place) => place).filter((place) => classes[place].colour);
  const legend = make("details", {open: used.length <= 30}, make("summary", {}, `${used.length} actions and their colours`),
    make("div", {className: "legend"}, ...used.map((place) => make("div", {}, labelled(place)))));
  section("videos", "Timelines", make("div", {className: "tools"}, search, order, make("label", {}, voters, " voters"), count),
    make("p", {className: "soft keys"}, "Truth, the decoded prediction, and the best class of the frame and of the token voter. " +
      "Faint: little confidence. Dashes on top: a class without training frames. ", make("br"),
      "Keys in a timeline: arrows for segments and rows, + and - zoom, 0 shows all, Shift and arrows pan. Double click zooms to a segment."),
    legend, list);
  arrange();
}

/* --- what changed ------------------------------------------------------------------------------------------------------- */

function changes() {
  if (!several) return;
  const rows = videos.map((video, place) => ({place, name: video.name, of: video.runs.map((run) => run?.figures[0])}));
  const ofClass = classes.map((one, place) => ({place, of: runs.map((run) => {
    const row = run.classes.find((each) => each.class === place);
    return row?.frames ? row.accuracy : null;
  })}));
  const columns = runs.map((run, place) => [run.title, ({of}) => of[place], "number"]);
  const delta = ({of}) => difference(of.at(-1), of[0]);
  const last = ["change", (row) => signed(delta(row)), "number change", delta];
  const isKnown = (row) => row.of.some((one) => one != null);
  section("changes", "What changed", note(`Accuracy by video and by class; change: ${runs.at(-1).title} minus ${runs[0].title}.`),
    make("div", {className: "pair"},
      table([["video", ({place, name}) => link(place, name), "name", ({name}) => name], ...columns, last],
        rows.filter(isKnown), [columns.length + 1, "ascending"], "change by video"),
      table([["class", ({place}) => labelled(place), "name", ({place}) => named(place)], ...columns, last],
        ofClass.filter(isKnown), [columns.length + 1, "ascending"], "change by class")));
}

function link(place, words, run = 0, index = 0) {
  const button = make("button", {type: "button", title: "show in its timeline"}, words);
  button.addEventListener("click", () => show(place, run, index));
  return button;
}

/* --- confusions ------------------------------------------------------------------------------------------------------------ */

const MOST = 60; // rows of a matrix; more cannot be read

function confusion() {
  const kinds = ["class", ...new Set(runs.flatMap((run) => Object.keys(run.factors)))];
  const kind = make("select", {ariaLabel: "by"}, ...kinds.map((name) => make("option", {}, name)));
  const which = make("select", {ariaLabel: "run"}, ...runs.map((run, place) => make("option", {value: place}, run.title)));
  const holder = make("div", {className: "pair"});
  const fill = () => holder.replaceChildren(...matrix(runs[Number(which.value)], kind.value));
  kind.addEventListener("change", fill);
  which.addEventListener("change", fill);
  section("confusion", "Confusions", make("div", {className: "tools"}, kinds.length > 1 ? make("label", {}, "by ", kind) : null,
    several ? make("label", {}, "run ", which) : null), holder);
  fill();
}

function matrix(run, kind) {
  const isClass = kind === "class", cells = isClass ? run.confusion : run.factors[kind]?.cells ?? [];
  const name = (place) => isClass ? classes[place].name : run.factors[kind].names[place];
  const badge = (place) => isClass ? `${classes[place].number ?? "–"}` : `${place + 1}`;
  const totals = new Map();
  for (const [true_, , frames] of cells) totals.set(true_, (totals.get(true_) ?? 0) + frames);
  const wrong = cells.filter(([true_, guess]) => true_ !== guess);
  if (!cells.length) return [make("p", {}, "There are no labelled frames.")];
  const frequent = [...totals].sort((a, b) => b[1] - a[1]).slice(0, MOST).map(([place]) => place).sort((a, b) => a - b);
  const places = new Map(frequent.map((place, at) => [place, at])), side = Math.max(9, Math.min(22, 520 / frequent.length));
  const left = 200, top = 24, size = side * frequent.length;
  const svg = draw("svg", {viewBox: `0 0 ${left + size + 4} ${top + size + 22}`, width: left + size + 4, role: "img",
    "aria-label": `Confusion by ${kind}, true in rows and predicted in columns; the table beside it lists the largest errors`});
  frequent.forEach((place, at) => {
    const long = name(place), words = long.length > 24 ? `${long.slice(0, 23)}…` : long, middle = top + (at + 0.5) * side;
    svg.append(draw("text", {x: left - 6, y: middle + 4, "text-anchor": "end", style: `font-size:${Math.min(12, side)}px`},
      `${words}  ${badge(place)}`, draw("title", {}, long)));
    if (side > 13 || at % 2 === 0) svg.append(draw("text", {x: left + (at + 0.5) * side, y: top - 6, "text-anchor": "middle",
      style: `font-size:${Math.min(11, side)}px`}, badge(place)));
  });
  svg.append(draw("rect", {x: left, y: top, width: size, height: size, fill: "none", class: "axis"}));
  for (const [true_, guess, frames] of cells) {
    if (!places.has(true_) || !places.has(guess)) continue;
    const share = frames / totals.get(true_), isRight = true_ === guess;
    svg.append(draw("rect", {x: left + places.get(guess) * side, y: top + places.get(true_) * side, width: side - 0.5, height: side - 0.5,
      fill: isRight ? "var(--good)" : "var(--bad)", opacity: (0.08 + 0.92 * share).toFixed(2)},
      draw("title", {}, `true ${name(true_)}, predicted ${name(guess)}: ${frames} frames, ${(100 * share).toFixed(1)} %`)));
  }
  svg.append(draw("text", {x: left + size / 2, y: top + size + 16, "text-anchor": "middle"}, "predicted; true in rows"));
  const shownName = isClass ? labelled : (place) => make("span", {}, name(place));
  const most = totals.size > MOST ? note(`The ${MOST} most frequent of ${totals.size}.`) : null;
  return [make("div", {className: "wide"}, most, svg), table([
    ["true", ([true_]) => shownName(true_), "name"], ["predicted", ([, guess]) => shownName(guess), "name"],
    ["frames", ([, , frames]) => `${frames}`, "number"],
    ["share (%)", ([true_, , frames]) => 100 * frames / totals.get(true_), "number"],
  ], wrong.slice(0, 20), null, "largest confusions")];
}

/* --- unseen classes, boundaries, classes, uncertain segments ---------------------------------------------------------------- */

function unseen() {
  if (!runs.some((run) => run.unseen.length)) return;
  const at = Object.fromEntries(classes.map((one, place) => [one.name, place]));
  const taken = (row) => make("span", {}, ...row.taken.flatMap((one, place) => [place ? make("br") : null,
    `${one.name} ${one.share.toFixed(0)} % (${[one.seen ? "seen" : "not seen", one.shares ? "shares a factor" : ""].filter(Boolean).join(", ")})`]));
  section("unseen", "Errors on unseen classes", ...each((run) => run.unseen.length ? table([
    ["class", (row) => labelled(at[row.name]), "name", (row) => row.name], ["level", (row) => row.level],
    ["frames", (row) => `${row.frames}`, "number", (row) => row.frames], ["accuracy", (row) => row.accuracy, "number"],
    ["unseen labels only", (row) => row.unseen_labels_only, "number"],
    ["mostly taken for", taken, "name", (row) => row.taken[0]?.share],
  ], run.unseen, [3, "ascending"], "unseen classes") : null));
}

function boundaries() {
  section("boundaries", "Boundaries and cuts", note("Over-segmented: a true segment that several predicted ones lie in (by half their " +
    "length); under-segmented: the reverse. The distance is that of each true boundary to the nearest predicted one, whatever the labels are."),
    ...each(({boundaries: {unit, median}, cuts}) =>
      table([["segments", ([name]) => name], ["", ([, number]) => `${number}`, "number"]], [
        ["true", cuts.true], ["predicted", cuts.predicted],
        ["predicted for each true one", cuts.true ? (cuts.predicted / cuts.true).toFixed(2) : "–"],
        ["over-segmented (true)", cuts.over], ["under-segmented (predicted)", cuts.under], ["found once (true)", cuts.once],
        ["with another name in most frames (true)", cuts.misnamed],
        [`median distance of boundaries (${unit})`, text(median, 2)],
      ], null, "cuts")));
}

function classTable() {
  const rows = classes.map((one, place) => ({place, of: runs.map((run) => run.classes.find((row) => row.class === place))}))
    .filter(({of}) => of.some(Boolean));
  const first = ({of}) => of.find(Boolean), per = (key, place) => ({of}) => of[place]?.[key] ?? null;
  const known = (key, place) => (row) => row.of[place]?.frames ? row.of[place][key] : null;
  const columns = [
    ["class", ({place}) => labelled(place), "name", ({place}) => named(place)], ["group", ({place}) => classes[place].group],
    ["training frames", (row) => `${first(row).training}`, "number", (row) => first(row).training],
    ["frames", (row) => `${first(row).frames}`, "number", (row) => first(row).frames],
    ["segments", (row) => `${first(row).segments}`, "number", (row) => first(row).segments],
  ];
  runs.forEach((run, place) => {
    const title = several ? ` ${run.title}` : "";
    columns.push([`predicted${title}`, (row) => `${per("predicted_segments", place)(row) ?? "–"}`, "number", per("predicted_segments", place)]);
    columns.push([`accuracy${title}`, known("accuracy", place), "number"], [`F1@50${title}`, known("f1", place), "number"]);
  });
  if (!rows.some(({place}) => classes[place].group)) columns.splice(1, 1);
  section("classes", "Classes", table(columns, rows, [0, "ascending"], "classes"));
}

function uncertain() {
  section("uncertain", "Least certain segments", note("Predicted segments with the lowest mean confidence: where to look next."),
    ...each((run, place) => {
      const unit = (one) => videos[one.video].times.unit ? "frame " : "";
      return run.uncertain.length ? table([
        ["video", (one) => link(one.video, videos[one.video].name, place, one.index), "name", (one) => videos[one.video].name],
        ["from", (one) => unit(one) + text(one.start, 2), "number", (one) => one.start], ["to", (one) => text(one.stop, 2), "number", (one) => one.stop],
        ["predicted", (one) => labelled(one.label), "name", (one) => named(one.label)],
        ["true, mostly", (one) => labelled(one.true), "name", (one) => named(one.true)],
        ["confidence (%)", (one) => 100 * one.confidence, "number"],
      ], run.uncertain, [5, "ascending"], "least certain segments") : make("p", {}, "There are no segments.");
    }));
}

function reliability() {
  if (!runs.some((run) => run.result.reliability)) return;
  section("reliability", "Reliability", note("Frames by the confidence of their predicted class: where the line is below the diagonal the " +
    "model is too sure. Larger dots are more frames."),
    make("div", {className: "pair"}, ...each(({result: {reliability: found}}) => found && reliabilityPlot(found)).filter(Boolean)));
}

function reliabilityPlot({before, after}) {
  const size = 260, left = 40, top = 8, at = (x, y) => [left + x * size, top + (1 - y) * size];
  const svg = draw("svg", {viewBox: `0 0 ${size + left + 12} ${size + 46}`, width: size + left + 12, role: "img"});
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    const [x, y] = at(tick, tick);
    svg.append(draw("line", {class: "axis", x1: x, x2: x, y1: top, y2: top + size}), draw("line", {class: "axis", x1: left, x2: left + size, y1: y, y2: y}));
    svg.append(draw("text", {x, y: top + size + 16, "text-anchor": "middle"}, `${100 * tick}`));
    svg.append(draw("text", {x: left - 5, y: y + 4, "text-anchor": "end"}, `${100 * tick}`));
  }
  const [x0, y0] = at(0, 0), [x1, y1] = at(1, 1), words = [];
  svg.append(draw("line", {x1: x0, y1: y0, x2: x1, y2: y1, stroke: "var(--soft)", "stroke-dasharray": "2 4"}));
  svg.append(draw("text", {x: left + size / 2, y: top + size + 34, "text-anchor": "middle"}, "confidence (%); correct frames (%) upwards"));
  [["scores", before], ["confidences", after]].forEach(([name, of], place) => {
    if (!of) return;
    const rows = of.bins.filter(({frames}) => frames), most = Math.max(...rows.map(({frames}) => frames));
    const points = rows.map(({confidence, accuracy}) => at(confidence, accuracy)), look = {stroke: LINES[place], "stroke-dasharray": STROKES[place]};
    svg.append(draw("polyline", {points: points.map((point) => point.join(",")).join(" "), fill: "none", "stroke-width": 2, ...look}));
    points.forEach(([cx, cy], index) => svg.append(draw("circle", {cx, cy, r: 2 + 6 * Math.sqrt(rows[index].frames / most), fill: LINES[place]},
      draw("title", {}, `${name}: ${rows[index].frames} frames, confidence ${text(100 * rows[index].confidence)}, correct ${text(100 * rows[index].accuracy)}`))));
    words.push([name, of.ece, place]);
  });
  svg.setAttribute("aria-label", words.map(([name, error]) => `calibration error of the ${name} ${text(error)}`).join(", "));
  return make("div", {}, svg, make("ul", {}, ...words.map(([name, error, place]) => make("li", {}, lineOf(place), ` ${name}, calibration error ${text(error)}`))));
}

function settings() {
  section("settings", "Settings and versions", ...each((run) => make("div", {}, make("p", {}, run.path), run.choice && make("p", {}, run.choice),
    table([["", ([name]) => name], ["", ([, version]) => version]], Object.entries(run.versions), null, "versions"),
    make("details", {}, make("summary", {}, "config.yaml"), make("pre", {}, run.config)))));
}

/* --- the page ---------------------------------------------------------------------------------------------------------------- */

main.append(make("h1", {}, document.title), nav);
for (const build of [inShort, numbers, curve, timelineSection, changes, confusion, unseen, boundaries, classTable, uncertain, reliability, settings]) build();

window.addEventListener("beforeprint", () => {
  for (const place of listed()) timelineOf(place).draw(true);
  for (const details of document.querySelectorAll("details")) details.open = true;
});
globalThis.reportIsReady = true;
}
