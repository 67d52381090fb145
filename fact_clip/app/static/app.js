/* The page. What comes from names and files is shown by textContent alone. */

const $ = (id) => document.getElementById(id);
const HISTORY = 200;

let state = null; // of the session
let video = null; // the one that is shown, with its segments
let chosen = null; // index among its segments
let timeline = null, colours = {}, comparison = null;
const undone = new Map(), done = new Map(); // video -> earlier and later lists of corrected segments
let typing, sliding, polling;

function node(tag, properties = {}, ...children) {
	const made = Object.assign(document.createElement(tag), properties);
	made.append(...children);
	return made;
}

// --- the server ----------------------------------------------------------------------------------------------

class Refused extends Error {
	constructor(message, status) {
		super(message);
		this.status = status;
	}
}

let pending = 0;

function busy(by) {
	pending += by;
	document.body.setAttribute("aria-busy", String(pending > 0));
}

async function ask(path, method, body) {
	busy(1);
	try {
		return await answered(path, method, body);
	} finally {
		busy(-1);
	}
}

async function answered(path, method = "GET", body) {
	const how = body === undefined ? {method} : {method, body: JSON.stringify(body), headers: {"content-type": "application/json"}};
	for (let turn = 0; ; turn++) {
		let answer, tree = {};
		try {
			answer = await fetch(path, how);
			tree = await answer.json();
		} catch {
			if (!answer) throw new Refused("the server does not answer", 0);
		}
		if (answer.ok) return tree;
		if (answer.status !== 503 || turn >= 30) throw new Refused(tree.error ?? `error ${answer.status}`, answer.status);
		note(tree.error);
		await new Promise((run) => setTimeout(run, 2000));
	}
}

function note(text) {
	$("note").textContent = text;
}

function fault(text) { // stays until it is dismissed, or another one comes
	$("fault-text").textContent = text;
	$("fault").hidden = !text;
}

async function tried(work) {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		fault(error.message);
	}
}

// --- files ---------------------------------------------------------------------------------------------------

function send(file, told) {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		request.open("POST", `/api/files?name=${encodeURIComponent(file.name)}`);
		request.upload.onprogress = ({loaded, total}) => told(`${file.name}: ${Math.round(100 * loaded / total)} % sent`);
		request.onerror = () => reject(new Refused(`${file.name}: not sent`, 0));
		request.onload = () => {
			let tree = {};
			try { tree = JSON.parse(request.responseText); } catch { /* told below */ }
			if (request.status === 200) resolve(tree);
			else reject(new Refused(tree.error ?? `${file.name}: error ${request.status}`, request.status));
		};
		request.send(file);
	});
}

async function sendPatiently(file) {
	for (let turn = 0; ; turn++) {
		try {
			return await send(file, note);
		} catch (error) {
			if (error.status !== 503 || turn >= 30) throw error;
			note(error.message);
			await new Promise((run) => setTimeout(run, 2000));
		}
	}
}

async function take(files) {
	const groups = new Map(); // features, their .json and their video have one name
	for (const file of files) {
		const stem = file.name.replace(/\.[^.]*$/, "");
		groups.set(stem, [...groups.get(stem) ?? [], file]);
	}
	const faults = [];
	for (const group of groups.values()) {
		try {
			const keys = [];
			for (const file of group) keys.push((await sendPatiently(file)).file);
			const made = await ask("/api/videos", "POST", {files: keys});
			await refresh();
			if (!video) await open(made.video);
		} catch (error) {
			if (!(error instanceof Refused)) throw error;
			faults.push(error.message);
		}
	}
	note("");
	if (faults.length) fault(faults.join(" — "));
	poll();
}

// --- the lists -----------------------------------------------------------------------------------------------

async function refresh() {
	show(await ask("/api/state"));
}

function show(found) {
	state = found;
	const {title, models, chosen: model} = state.model;
	$("model").replaceChildren(...models.map((name) => node("option", {value: name, textContent: name || title})));
	$("model").value = model;
	if (document.activeElement !== $("actions")) $("actions").value = state.actions.join("\n");
	$("videos").replaceChildren(...state.videos.map(videoRow));
	$("names").replaceChildren(...[...state.actions, ...state.background].map((value) => node("option", {value})));
	$("training-set").hidden = !state.training_set;
	$("adapt-box").hidden = !state.can_adapt;
	showSettings();
	showTraining();
}

function videoRow(one) {
	const name = node("button", {type: "button", className: "link", textContent: one.name, onclick: () => tried(() => open(one.id))});
	name.setAttribute("aria-current", String(video?.id === one.id));
	const remove = node("button", {type: "button", textContent: "×", title: "Remove", onclick: () => tried(() => forget(one))});
	remove.setAttribute("aria-label", `Remove ${one.name}`);
	const row = node("li", {}, name, remove), job = one.job;
	if (job?.state === "waiting") row.append(node("small", {textContent: `busy, place ${job.place}`}));
	if (job?.state === "running") {
		const bar = node("progress", {max: Math.max(job.total, 1), value: job.done});
		bar.setAttribute("aria-label", `Encoding ${one.name}`);
		row.append(bar, node("small", {textContent: `encoding, ${job.done} of ${job.total || "?"} pictures`}));
	}
	if (job?.state === "failed") row.append(node("small", {className: "fault", textContent: job.error}));
	const marks = [one.corrected ? `${one.corrected} corrected` : "", one.added ? `in the training set as ${one.added}` : ""];
	if (marks.some(Boolean)) row.append(node("small", {textContent: marks.filter(Boolean).join(", ")}));
	return row;
}

function showSettings() {
	const box = $("settings");
	for (const [name, {label, min, max, step}] of Object.entries(state.sliders)) {
		let input = $(`set-${name}`);
		if (!input) {
			input = node("input", {type: "range", id: `set-${name}`, min, max, step});
			input.oninput = () => slide(name, Number(input.value));
			const text = node("span", {textContent: label}), shown = node("output", {id: `out-${name}`});
			box.append(node("div", {id: `box-${name}`}, node("label", {htmlFor: `set-${name}`}, text), shown, input));
		}
		$(`box-${name}`).hidden = !state.adjustable.includes(name);
		if (document.activeElement === input && sliding) continue;
		const value = state.adjust[name];
		input.value = value ?? state.defaults[name] ?? 0;
		$(`out-${name}`).textContent = value ?? "model default";
	}
}

function showTraining() {
	const job = state.training, bar = $("training");
	$("adapt").disabled = job && !["done", "failed"].includes(job.state);
	bar.hidden = !job || job.state === "failed";
	if (!job) return;
	Object.assign(bar, {max: Math.max(job.total, 1), value: job.done});
	const told = {waiting: `busy, place ${job.place}`, running: `epoch ${job.done} of ${job.total}, ${job.note}`,
		done: "trained; choose it at the top", failed: job.error};
	$("training-note").textContent = told[job.state];
}

function isBusy() {
	return [...state.videos.map((one) => one.job), state.training].some((job) => job && ["waiting", "running"].includes(job.state));
}

function poll() {
	clearTimeout(polling);
	polling = setTimeout(() => tried(async () => {
		const before = state;
		await refresh();
		const isReady = (all) => all.videos.filter((one) => one.ready).map((one) => one.id).join();
		if (video && !video.shown && state.videos.find((one) => one.id === video.id)?.ready) await open(video.id);
		if (isReady(before) !== isReady(state)) await listUncertain();
		if (isBusy()) poll();
	}), 500);
}

async function listUncertain() {
	const {segments} = await ask("/api/uncertain");
	$("uncertain").replaceChildren(...segments.map((one) => {
		const text = `${one.label}, ${Math.round(100 * one.confidence)} %, ${one.name} at ${Timeline.clock(one.time, 1)} s`;
		return node("li", {}, node("button", {type: "button", className: "link", textContent: text, onclick: () => tried(async () => {
			if (video?.id !== one.video) await open(one.video);
			const index = video.shown.findIndex(({start, stop}) => start <= one.start && one.start < stop);
			timeline.select(0, index);
			timeline.seek(one.time);
			choose(index);
		})}));
	}));
}

async function forget(one) {
	await ask(`/api/videos/${one.id}`, "DELETE");
	if (video?.id === one.id) close();
	await refresh();
	await listUncertain();
}

// --- the video -----------------------------------------------------------------------------------------------

function close() {
	timeline?.destroy();
	timeline = comparison?.destroy() ?? null;
	comparison = video = chosen = null;
	$("comparison").replaceChildren();
	$("figures").hidden = true;
	$("video").removeAttribute("src");
	$("video").load();
	$("work").hidden = true;
	$("empty").hidden = false;
}

async function open(id) {
	const row = state.videos.find((one) => one.id === id);
	close();
	if (!row.ready) {
		video = {id};
		$("empty").textContent = row.job?.error || "It is shown here as soon as it is encoded.";
		show(state);
		return poll();
	}
	const found = await ask(`/api/videos/${id}`);
	$("empty").hidden = true;
	$("work").hidden = false;
	const player = $("video");
	player.hidden = !found.media;
	$("silent").hidden = found.media;
	$("silent").textContent = "Features without a video: there is nothing to play.";
	if (found.media) player.src = `/api/videos/${id}/media`;
	colours = {};
	video = found;
	Object.assign(colours, found.colours);
	timeline = new Timeline($("timeline"), {
		duration: found.times.at(-1), rows: rows(), colours, times: found.times, label: `Segments of ${found.name}`,
		video: found.media ? player : undefined,
		onSelect: ({row, index}) => choose(row === 0 ? index : null), onEdit: moved,
	});
	showVideo(found);
	show(state);
	await listUncertain();
}

$("video").addEventListener("error", () => {
	if (!video?.media) return;
	$("silent").hidden = false;
	$("silent").textContent = "This browser cannot play the file; everything else works.";
});

function seconds(segment) {
	return {...segment, start: video.times[segment.start], stop: video.times[segment.stop]};
}

function rows() {
	return [
		{name: "result", editable: true, segments: video.shown.map(seconds)},
		{name: "prediction", editable: false, segments: video.predicted.map(seconds)},
	];
}

function showVideo(found) {
	video = {...found, times: found.times ?? video.times};
	for (const name in colours) delete colours[name];
	Object.assign(colours, found.colours);
	$("name").textContent = found.name;
	$("command").textContent = found.command;
	$("new-words").textContent = found.new_words.join("\n");
	timeline.setRows(rows());
	const used = new Set([...found.shown, ...found.predicted].map(({label}) => label));
	$("legend").replaceChildren(...Object.entries(found.colours).filter(([name]) => used.has(name)).map(([name, {colour, number}]) => {
		const mark = node("span", {textContent: number ?? "–"});
		if (colour) Object.assign(mark.style, {background: colour, color: Timeline.inkOn(Timeline.rgb(colour))});
		return node("li", {}, mark, name);
	}));
	choose(chosen !== null && chosen < found.shown.length ? chosen : null);
	listSides();
}

function choose(index) {
	chosen = index;
	const one = video?.shown?.[index];
	$("segment").disabled = !one;
	for (const id of ["split", "merge", "delete", "restore"]) $(id).disabled = !one;
	if (one) {
		$("merge").disabled = index === video.shown.length - 1;
		$("restore").disabled = !one.corrected;
		$("label").value = one.label;
		$("start").value = video.times[one.start].toFixed(2);
		$("stop").value = video.times[one.stop].toFixed(2);
	}
	$("undo").disabled = !undone.get(video?.id)?.length;
	$("redo").disabled = !done.get(video?.id)?.length;
}

// --- corrections ---------------------------------------------------------------------------------------------

const corrected = () => video.shown.filter((one) => one.corrected).map(({start, stop, label}) => ({start, stop, label}));

function frameAt(time) {
	let low = 0, high = video.times.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (video.times[middle] < time) low = middle + 1;
		else high = middle;
	}
	return low > 0 && time - video.times[low - 1] < video.times[low] - time ? low - 1 : low;
}

function edit(change) { // change: the segments, which it may alter -> the index to choose, or null for nothing
	if (!video?.shown) return;
	const before = corrected(), segments = video.shown.map((one) => ({...one})), next = change(segments);
	if (next === null) return;
	const history = undone.get(video.id) ?? [];
	undone.set(video.id, [...history.slice(-HISTORY), before]);
	done.set(video.id, []);
	const at = segments[next]?.start;
	return keep(segments.filter((one) => one.corrected), at);
}

async function keep(segments, at) {
	const id = video.id;
	await tried(async () => {
		const found = await ask(`/api/videos/${id}/corrections`, "PUT",
			{segments: segments.map(({start, stop, label}) => ({start, stop, label}))});
		if (video?.id !== id) return;
		if (at !== undefined) chosen = found.shown.findIndex(({start, stop}) => start <= at && at < stop);
		showVideo(found);
		if (chosen !== null) timeline.select(0, chosen);
		$("draft").textContent = `${segments.length} corrections saved.`;
		await refresh();
		await listUncertain();
	});
	if (video?.shown) timeline.setRows(rows()); // as it was, where it was refused
}

function moved({row, index, start, stop}) {
	if (row !== 0) return;
	edit((segments) => moveEdges(segments, index, frameAt(start), frameAt(stop)));
}

function moveEdges(segments, index, start, stop) {
	const one = segments[index], left = segments[index - 1], right = segments[index + 1];
	start = left ? Math.max(start, left.start + 1) : 0;
	stop = right ? Math.min(stop, right.stop - 1) : one.stop;
	if (start >= stop || (start === one.start && stop === one.stop)) return null;
	if (left && start !== one.start) Object.assign(left, {stop: start, corrected: true});
	if (right && stop !== one.stop) Object.assign(right, {start: stop, corrected: true});
	Object.assign(one, {start, stop, corrected: true});
	return index;
}

function split() {
	edit((segments) => {
		const one = segments[chosen], player = $("video");
		let frame = frameAt(video.media ? player.currentTime : 0);
		if (!one) return null;
		if (frame <= one.start || frame >= one.stop) frame = (one.start + one.stop) >> 1;
		if (frame <= one.start) return null;
		segments.splice(chosen, 1, {...one, stop: frame, corrected: true}, {...one, start: frame, corrected: true});
		return chosen + 1;
	});
}

function merge() {
	edit((segments) => {
		const one = segments[chosen], next = segments[chosen + 1];
		if (!one || !next) return null;
		segments.splice(chosen, 2, {...one, stop: next.stop, corrected: true});
		return chosen;
	});
}

function remove() {
	edit((segments) => {
		const one = segments[chosen], background = video.background[0];
		if (!one) return null;
		if (background !== undefined && one.label !== background) {
			Object.assign(one, {label: background, corrected: true});
			return chosen;
		}
		const before = segments[chosen - 1], after = segments[chosen + 1];
		if (!before && !after) return null;
		if (before) Object.assign(before, {stop: one.stop, corrected: true});
		else Object.assign(after, {start: one.start, corrected: true});
		segments.splice(chosen, 1);
		return Math.max(chosen - 1, 0);
	});
}

function restore() {
	edit((segments) => {
		if (!segments[chosen]?.corrected) return null;
		segments[chosen].corrected = false;
		return chosen;
	});
}

function apply() {
	const start = frameAt(Number($("start").value)), stop = frameAt(Number($("stop").value)), label = $("label").value.trim();
	edit((segments) => {
		const one = segments[chosen];
		if (!one) return null;
		const hasMoved = moveEdges(segments, chosen, start, stop) !== null;
		if (label === one.label || !label) return hasMoved ? chosen : null;
		Object.assign(one, {label, corrected: true});
		return chosen;
	});
}

function travel(from, to) {
	const list = from.get(video?.id);
	if (!list?.length) return;
	to.set(video.id, [...to.get(video.id) ?? [], corrected()]);
	keep(list.pop(), video.shown[chosen]?.start);
}

const undo = () => travel(undone, done), redo = () => travel(done, undone);

// --- names and settings --------------------------------------------------------------------------------------

function named() {
	return $("actions").value.split("\n").map((line) => line.trim()).filter(Boolean);
}

function renamed(before, after) { // the one name that was typed over, so that corrected segments follow
	if (before.length !== after.length) return null;
	const places = before.map((_, place) => place).filter((place) => before[place] !== after[place]);
	const [place] = places;
	return places.length === 1 && !before.includes(after[place]) ? [before[place], after[place]] : null;
}

async function change(settings, where) {
	try {
		const found = await ask("/api/settings", "POST", {...settings, video: video?.id ?? ""});
		if (where) $(where).textContent = "";
		show(found.state);
		if (found.video && found.video.id === video?.id) {
			if (video.shown) showVideo(found.video);
			else await open(video.id);
		}
		clearTimeout(typing);
		typing = setTimeout(() => tried(listUncertain), 1500);
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		if (where) $(where).textContent = error.message;
		else fault(error.message);
	}
}

let waitingNames;
$("actions").addEventListener("input", () => {
	clearTimeout(waitingNames);
	waitingNames = setTimeout(() => {
		const names = named();
		change({actions: names, renamed: renamed(state.actions, names)}, "actions-fault");
	}, 300);
});
$("actions").addEventListener("keydown", (event) => {
	const by = {ArrowUp: -1, ArrowDown: 1}[event.key];
	if (!event.altKey || !by) return;
	event.preventDefault();
	const box = $("actions"), lines = box.value.split("\n"), at = box.value.slice(0, box.selectionStart).split("\n").length - 1;
	if (at + by < 0 || at + by >= lines.length) return;
	[lines[at], lines[at + by]] = [lines[at + by], lines[at]];
	box.value = lines.join("\n");
	box.selectionStart = box.selectionEnd = lines.slice(0, at + by).join("\n").length + (at + by > 0 ? 1 : 0);
	box.dispatchEvent(new Event("input"));
});

function slide(name, value) {
	$(`out-${name}`).textContent = value;
	state.adjust[name] = state.sliders[name].off && value === 0 ? null : value;
	clearTimeout(sliding);
	sliding = setTimeout(() => {
		sliding = null;
		change({adjust: state.adjust});
	}, 120);
}

$("reset").onclick = () => change({adjust: {}});
$("model").onchange = () => change({model: $("model").value});

// --- what is made of it --------------------------------------------------------------------------------------

$("download").onclick = () => tried(async () => {
	const query = new URLSearchParams({format: $("format").value, background: $("with-background").checked ? "1" : "0"});
	const answer = await fetch(`/api/videos/${video.id}/export?${query}`);
	if (!answer.ok) throw new Refused((await answer.json()).error, answer.status);
	const name = /filename\*=utf-8''([^;]+)|filename="([^"]+)"/.exec(answer.headers.get("content-disposition"));
	const link = node("a", {href: URL.createObjectURL(await answer.blob()), download: decodeURIComponent(name[1] ?? name[2])});
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
	$("saved").textContent = `${link.download} was downloaded.`;
});

$("add").onclick = () => tried(async () => {
	const found = await ask(`/api/videos/${video.id}/training-set`, "POST", {only_corrected: $("only-corrected").checked});
	$("saved").textContent = `Added to ${found.folder} as ${found.name}.`;
	await refresh();
});

$("adapt").onclick = () => tried(async () => {
	const found = await ask("/api/adapt", "POST", {epochs: Number($("epochs").value)});
	$("saved").textContent = `The same on the command line: ${found.command}`;
	await refresh();
	poll();
});

// --- two labellings ------------------------------------------------------------------------------------------

const sides = new Map([["shown", "result"], ["predicted", "prediction"]]);

function listSides() {
	for (const id of ["first", "second"]) {
		const before = $(id).value;
		$(id).replaceChildren(...[...sides].map(([value, textContent]) => node("option", {value, textContent})));
		$(id).value = sides.has(before) ? before : id === "first" ? "shown" : "predicted";
	}
}

$("label-files").onchange = () => tried(async () => {
	for (const file of $("label-files").files) sides.set((await sendPatiently(file)).file, file.name);
	listSides();
	note("");
});

$("compare").onclick = () => tried(async () => {
	const found = await ask(`/api/videos/${video.id}/compare`, "POST", {first: $("first").value, second: $("second").value});
	const NAMES = {frame_accuracy: "Frames, %", "f1@10": "F1@10", "f1@25": "F1@25", "f1@50": "F1@50", edit: "Edit", kappa: "Cohen's kappa"};
	$("figures").tBodies[0].replaceChildren(...Object.entries(NAMES).map(([key, name]) => {
		const head = node("th", {scope: "row", textContent: name});
		return node("tr", {}, head, node("td", {textContent: found.figures[key].toFixed(key === "kappa" ? 3 : 1)}));
	}));
	$("figures").hidden = false;
	comparison?.destroy();
	const toSeconds = (one) => ({...one, start: found.times[one.start], stop: found.times[one.stop]});
	const difference = {colour: "#c2185b", number: null, index: -1};
	const looks = {...found.colours};
	for (const {label} of found.rows.at(-1).segments) looks[label] ??= difference;
	comparison = new Timeline($("comparison"), {
		duration: found.times.at(-1), colours: looks, times: found.times, label: "Comparison", video: video.media ? $("video") : undefined,
		rows: found.rows.map((row) => ({name: row.name, editable: false, segments: row.segments.map(toSeconds)})),
	});
});

// --- the page ------------------------------------------------------------------------------------------------

const BUTTONS = {split, merge, delete: remove, restore, undo, redo, apply};
for (const [id, run] of Object.entries(BUTTONS)) $(id).onclick = run;
$("dismiss").onclick = () => fault("");
$("label").addEventListener("keydown", (event) => { if (event.key === "Enter") apply(); });

document.addEventListener("keydown", (event) => {
	if (event.target.closest("input, textarea, select")) return;
	const isControl = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
	const runs = isControl ? {z: event.shiftKey ? redo : undo, y: redo} : {s: split, m: merge, delete: remove};
	if (!runs[key] || event.altKey) return;
	event.preventDefault();
	runs[key]();
});

$("files").onchange = () => {
	take([...$("files").files]);
	$("files").value = "";
};
for (const name of ["dragover", "dragleave", "drop"]) {
	document.addEventListener(name, (event) => {
		event.preventDefault();
		$("drop").classList.toggle("over", name === "dragover");
		if (name === "drop" && event.dataTransfer.files.length) take([...event.dataTransfer.files]);
	});
}

await tried(async () => {
	history.replaceState(null, "", "/"); // the token need not stay in the address
	await refresh();
	$("format").replaceChildren(...state.formats.map((value) => node("option", {value, textContent: value})));
	const {megabytes, minutes} = state.limits;
	note(`Files of at most ${Math.round(megabytes)} MB and ${minutes} minutes. Nothing leaves this computer; uploads are removed when the program ends.`);
	choose(null);
	listSides();
	const first = state.videos.find((one) => one.ready);
	if (first) await open(first.id);
	if (isBusy()) poll();
});
