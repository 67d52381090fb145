/* The page. What comes from names and files is shown by textContent alone. */

const $ = (id) => document.getElementById(id);
const AUTOMATIC = [..."123456789abcdefghnqrtuvwxyz"]; // keys that nothing else has
const KEYS = [
	["Space", "play or pause"], ["J, K", "one frame back, forward"], ["[ ]", "slower, faster: 0.25 to 4"], ["L", "loop the chosen segment"],
	["1 to 9, letters", "the action with this key: for the chosen segment, and for the next one"],
	["I, O", "a segment begins here, ends here"], ["P", "an instant here"], ["S", "split at the cursor"], ["M", "merge with the next segment"],
	["Enter", "accept the chosen draft"], ["Delete", "delete the chosen segment"], ["Escape", "choose nothing"],
	[", .", "move its start by a frame"], ["Shift and , .", "move its end by a frame"], ["Arrows", "choose a segment, a track"],
	["+ − 0", "zoom in, out, all"], ["Shift and arrows", "pan"], ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["?", "this list"],
];

let state = null; // of the project
let video = null; // the one that is shown, with its segments
let chosen = null; // index among the segments of the current track
let row = 0; // the current track
let pen = ""; // the action that the next segment gets
let begun = null; // frame at which a segment begins
let timeline = null, colours = {}, comparison = null;
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

async function tried(work, isQuiet = false) {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		if (isQuiet) note(error.message);
		else fault(error.message);
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

const IS_MEDIA = /\.(npy|mp4|m4v|mov|mkv|webm|avi|mpg|mpeg|ts|mts|wmv|flv|ogv|3gp)$/i;

async function take(files) {
	const groups = new Map(), labels = []; // features, their .json and their video have one name
	const stem = (file) => file.name.replace(/\.[^.]*$/, "");
	const media = new Set(files.filter((file) => IS_MEDIA.test(file.name)).map(stem));
	for (const file of files) {
		if (IS_MEDIA.test(file.name) || (/\.json$/i.test(file.name) && media.has(stem(file)))) {
			groups.set(stem(file), [...groups.get(stem(file)) ?? [], file]);
		} else labels.push(file);
	}
	const faults = [];
	const each = async (work) => {
		try {
			await work();
		} catch (error) {
			if (!(error instanceof Refused)) throw error;
			faults.push(error.message);
		}
	};
	for (const group of groups.values()) {
		await each(async () => {
			const keys = [];
			for (const file of group) keys.push((await sendPatiently(file)).file);
			const made = await ask("/api/videos", "POST", {files: keys});
			await refresh();
			if (!video) await open(made.video);
		});
	}
	for (const file of labels) { // of the video of that name, or of the one that is open
		const named = state.videos.find(({name}) => file.name.startsWith(`${name}.`))?.id ?? video?.id;
		await each(async () => {
			if (named === undefined) throw new Refused(`${file.name}: add its video first`, 0);
			await load(named, file);
		});
	}
	note("");
	if (faults.length) fault(faults.join(" — "));
	poll();
}

// --- the lists -----------------------------------------------------------------------------------------------

async function refresh() {
	show(await ask("/api/state"));
}

const keyed = ({name, key}) => key ? `${name} [${key}]` : name;

function keysOf(actions) { // key -> name: those that were chosen, then the first that are free
	const keys = new Map(actions.filter(({key}) => key).map(({name, key}) => [key.toLowerCase(), name]));
	const free = AUTOMATIC.filter((key) => !keys.has(key));
	for (const {name, key} of actions) if (!key && free.length) keys.set(free.shift(), name);
	return keys;
}

function show(found) {
	state = found;
	const {title, models, chosen: model, exists} = state.model;
	$("model-box").hidden = models.length === 1 && title === "none";
	$("model").replaceChildren(...models.map((name) => node("option", {value: name, textContent: name || title})));
	$("model").value = model;
	if (document.activeElement !== $("actions")) $("actions").value = state.actions.map(keyed).join("\n");
	$("videos").replaceChildren(...state.videos.map(videoRow));
	$("removed").replaceChildren(...state.removed.slice(-3).map(removedRow));
	$("names").replaceChildren(...[...state.actions.map(({name}) => name), ...state.background].map((value) => node("option", {value})));
	if (!state.actions.some(({name}) => name === pen)) pen = state.actions[0]?.name ?? "";
	$("advanced").hidden = $("command-box").hidden = $("accept").hidden = !exists;
	$("training-set").hidden = !state.training_set;
	$("adapt-box").hidden = !state.can_adapt;
	$("teach").hidden = !state.model.can_learn;
	if (!video) {
		$("empty-text").textContent = state.videos.length ? "Choose a video on the left." : "Nothing is here yet.";
	}
	if (timeline) listNames();
	showSettings();
	showTraining();
}

const waiting = (job) => job.place ? `Waiting (number ${job.place} in line)` : "Waiting";

function videoRow(one) {
	const name = node("button", {type: "button", className: "link", textContent: one.name, onclick: () => tried(() => open(one.id))});
	name.setAttribute("aria-current", String(video?.id === one.id));
	const remove = node("button", {type: "button", textContent: "×", title: "Remove", onclick: () => tried(() => forget(one))});
	remove.setAttribute("aria-label", `Remove ${one.name}`);
	const row = node("li", {}, name, remove), job = one.job;
	if (job?.state === "waiting") row.append(node("small", {textContent: waiting(job)}));
	if (job?.state === "running") {
		const bar = node("progress", {max: Math.max(job.total, 1), value: job.done});
		bar.setAttribute("aria-label", `Encoding ${one.name}`);
		row.append(bar, node("small", {textContent: `encoding, ${job.done} of ${job.total || "?"} pictures`}));
	}
	if (job?.state === "failed") row.append(node("small", {className: "fault", textContent: job.error}));
	if (one.labels) row.append(node("small", {textContent: `${one.labels} segments labelled`}));
	return row;
}

function removedRow(one) {
	const back = node("button", {type: "button", textContent: "Put back", onclick: () => tried(async () => {
		await ask(`/api/videos/${one.id}/restore`, "POST");
		await refresh();
	})});
	return node("li", {}, `${one.name} was removed. `, back);
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
	for (const id of ["adapt", "train", "teach"]) $(id).disabled = job && !["done", "failed"].includes(job.state);
	bar.hidden = !job || ["done", "failed"].includes(job.state);
	$("cancel").hidden = bar.hidden;
	if (!job) return;
	Object.assign(bar, {max: Math.max(job.total, 1), value: job.done});
	const told = {waiting: waiting(job), running: job.note, done: `Trained. ${job.note}`, failed: job.error};
	$("training-note").textContent = told[job.state];
}

function isBusy() {
	return [...state.videos.map((one) => one.job), state.training].some((job) => job && ["waiting", "running"].includes(job.state));
}

function poll() { // soon while something is done; now and then to see what other browsers do
	clearTimeout(polling);
	polling = setTimeout(async () => {
		await tried(async () => {
			const before = isBusy(), models = state.model.models.length;
			await refresh();
			const row = video && state.videos.find((one) => one.id === video.id);
			const isNew = row && (row.revision !== video.revision || (before && !isBusy()) || models !== state.model.models.length);
			if (isNew && !pending) await reload();
			if (before && !isBusy()) await listUncertain();
		}, true);
		poll();
	}, isBusy() ? 500 : 3000);
}

async function listUncertain() {
	if (!state.model.exists) return;
	const {segments} = await ask("/api/uncertain");
	$("uncertain").replaceChildren(...segments.map((one) => {
		const text = `${one.label}, ${Math.round(100 * one.confidence)} %, ${one.name} at ${Timeline.clock(one.time, 1)} s`;
		return node("li", {}, node("button", {type: "button", className: "link", textContent: text, onclick: () => tried(async () => {
			if (video?.id !== one.video) await open(one.video);
			const index = segmentsOf(0).findIndex(({start, stop}) => start <= one.start && one.start < stop);
			row = 0;
			timeline.select(0, index);
			timeline.seek(one.time);
			choose(index);
		})}));
	}));
}

function confirmed(text) {
	return new Promise((answer) => {
		$("ask-text").textContent = text;
		$("ask").returnValue = "no";
		$("ask").onclose = () => answer($("ask").returnValue === "yes");
		$("ask").showModal();
	});
}

async function forget(one) {
	const has = one.labels ? ` It has ${one.labels} labelled segment${one.labels === 1 ? "" : "s"}.` : "";
	if (!await confirmed(`Remove ${one.name} from the project?${has} You can put it back.`)) return;
	await ask(`/api/videos/${one.id}`, "DELETE");
	if (video?.id === one.id) close();
	await refresh();
	await listUncertain();
}

// --- the video -----------------------------------------------------------------------------------------------

function close() {
	timeline?.destroy();
	timeline = comparison?.destroy() ?? null;
	comparison = video = chosen = begun = null;
	row = 0;
	$("comparison").replaceChildren();
	$("figures").hidden = true;
	$("video").removeAttribute("src");
	$("video").load();
	$("work").hidden = true;
	$("empty").hidden = false;
	document.body.classList.remove("open");
}

async function open(id) {
	const found = await ask(`/api/videos/${id}`);
	close();
	document.body.classList.add("open");
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
		video: found.media ? player : undefined, onSelect: selected, onEdit: moved, onDraw: drawn,
	});
	showVideo(found);
	show(state);
	await listUncertain();
}

async function reload() {
	const found = await ask(`/api/videos/${video.id}`);
	if (video?.id === found.id) showVideo(found);
}

$("video").addEventListener("error", () => {
	if (!video?.media) return;
	$("silent").hidden = false;
	$("silent").textContent = "Your browser cannot play this format. Convert it to MP4 (H.264) to see it; everything else works.";
});

const segmentsOf = (place = row) => video?.tracks[place]?.segments ?? [];
const seconds = (segment) => ({...segment, start: video.times[segment.start], stop: video.times[segment.stop]});

function rows() {
	const tracks = video.tracks.map(({name, segments}) => ({name, editable: true, segments: segments.map(seconds)}));
	return video.drafts.length ? [...tracks, {name: "prediction", editable: false, segments: video.drafts.map(seconds)}] : tracks;
}

function showVideo(found) {
	video = {...found, times: found.times ?? video.times};
	for (const name in colours) delete colours[name];
	Object.assign(colours, found.colours);
	row = Math.min(row, found.tracks.length - 1);
	$("name").textContent = found.name;
	$("command").textContent = found.command;
	$("new-words").textContent = found.new_words.join("\n");
	$("complete").checked = found.complete;
	$("track").replaceChildren(...found.tracks.map(({name}, value) => node("option", {value, textContent: name})));
	timeline.setRows(rows());
	listNames();
	choose(chosen !== null && chosen < segmentsOf().length ? chosen : null);
	listSides();
}

function listNames() {
	const keys = new Map([...keysOf(state.actions)].map(([key, name]) => [name, key]));
	const used = new Set([...video.tracks.flatMap(({segments}) => segments), ...video.drafts].map(({label}) => label));
	const names = [...state.actions.map(({name}) => name), ...[...used].filter((name) => !state.actions.some((one) => one.name === name))];
	$("legend").replaceChildren(...names.map((name) => {
		const {colour, number} = colours[name] ?? state.colours[name] ?? {}, mark = node("span", {textContent: number ?? "–"});
		if (colour) Object.assign(mark.style, {background: colour, color: Timeline.inkOn(Timeline.rgb(colour))});
		const button = node("button", {type: "button", onclick: () => give(name)}, mark, name);
		button.setAttribute("aria-pressed", String(name === pen));
		if (keys.has(name)) button.append(node("kbd", {textContent: keys.get(name).toUpperCase()}));
		return node("li", {}, button);
	}));
}

function selected({row: place, index}) {
	if (place < video.tracks.length) row = place;
	choose(place < video.tracks.length ? index : null);
}

function choose(index) {
	chosen = index;
	const one = segmentsOf()[index];
	$("segment").disabled = !one;
	$("track").value = row;
	for (const id of ["split", "merge", "delete", "accept"]) $(id).disabled = !one;
	if (one) {
		const next = segmentsOf()[index + 1];
		$("merge").disabled = next?.start !== one.stop;
		$("accept").disabled = one.origin !== "draft";
		$("label").value = one.label;
		$("start").value = video.times[one.start].toFixed(3);
		$("stop").value = video.times[one.stop].toFixed(3);
		$("comment").value = one.comment;
	}
	$("undo").disabled = !video?.undo;
	$("redo").disabled = !video?.redo;
	$("remove-track").disabled = !video || video.tracks.length < 2 || segmentsOf().some((one) => one.origin !== "draft");
	$("mark").setAttribute("aria-pressed", String(begun !== null));
}

// --- labels --------------------------------------------------------------------------------------------------

function frameAt(time) { // the frame boundary that is nearest
	let low = 0, high = video.times.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (video.times[middle] < time) low = middle + 1;
		else high = middle;
	}
	return low > 0 && time - video.times[low - 1] < video.times[low] - time ? low - 1 : low;
}

const here = () => Math.min(frameAt(video.media ? $("video").currentTime : timeline.time), video.times.length - 2);
const byHand = (one) => ({...one, origin: ["draft", "predicted"].includes(one.origin) ? "corrected" : one.origin});

function edit(change) { // change: the segments, which it may alter -> where the chosen one begins, or null for nothing
	if (!video) return;
	const segments = segmentsOf().map((one) => ({...one})), at = change(segments);
	if (at === null) return;
	const stored = segments.filter((one) => one.origin !== "draft").sort((one, other) => one.start - other.start);
	return keep("segments", "PUT", {
		track: video.tracks[row].id, annotator: $("annotator").value,
		segments: stored.map(({start, stop, label, origin, comment}) => ({start, stop, label, origin, comment})),
	}, at);
}

async function keep(what, method, body, at) {
	const id = video.id;
	await tried(async () => {
		let found;
		try {
			found = await ask(`/api/videos/${id}/${what}`, method, {...body, revision: video.revision});
		} catch (error) {
			if (error.status === 409) await reload();
			throw error;
		}
		if (video?.id !== id) return;
		if (at !== undefined) {
			const place = found.tracks[row]?.segments.findIndex(({start, stop}) => start <= at && (at < stop || start === at)) ?? -1;
			chosen = place < 0 ? null : place;
		}
		showVideo(found);
		if (chosen !== null) timeline.select(row, chosen);
		$("draft").textContent = `Stored at ${new Date().toLocaleTimeString()}.`;
		await refresh();
		await listUncertain();
	});
	if (video && timeline) timeline.setRows(rows()); // as it was, where it was refused
}

function moved({row: place, index, start, stop}) {
	row = place;
	edit((segments) => moveEdges(segments, index, frameAt(start), frameAt(stop)));
}

function moveEdges(segments, index, start, stop) { // neighbours that touch move along
	const one = segments[index], left = segments[index - 1], right = segments[index + 1];
	if (start >= stop || (start === one.start && stop === one.stop)) return null;
	if (left?.stop === one.start && start !== one.start) segments[index - 1] = {...byHand(left), stop: start};
	if (right?.start === one.stop && stop !== one.stop) segments[index + 1] = {...byHand(right), start: stop};
	segments[index] = {...byHand(one), start, stop};
	return start;
}

function put(start, stop) { // a new segment on the current track
	if (!pen) return fault("Type the name of an action first.");
	edit((segments) => {
		segments.push({start, stop, label: pen, origin: "drawn", comment: ""});
		return start;
	});
}

function drawn({row: place, start, stop}) {
	row = place;
	if (frameAt(start) < frameAt(stop)) put(frameAt(start), frameAt(stop));
	else timeline.draw();
}

function mark() {
	begun = here();
	$("draft").textContent = `Begins at ${video.times[begun].toFixed(3)} s; O ends it.`;
	choose(chosen);
}

function end() {
	if (begun === null) return;
	const last = video.times.length - 2; // whoever stops at the last picture means the end
	const [start, stop] = [begun, here() === last ? last + 1 : here()].sort((one, other) => one - other);
	begun = null;
	if (start < stop) put(start, stop);
	choose(chosen);
}

function give(name) { // an action's key or button
	pen = name;
	listNames();
	const one = segmentsOf()[chosen];
	if (begun === null && one && one.label !== name) edit((segments) => rename(segments, chosen, name));
}

function rename(segments, index, label) {
	segments[index] = {...byHand(segments[index]), label};
	return segments[index].start;
}

function split() {
	edit((segments) => {
		const one = segments[chosen];
		let frame = here();
		if (!one) return null;
		if (frame <= one.start || frame >= one.stop) frame = (one.start + one.stop) >> 1;
		if (frame <= one.start) return null;
		segments.splice(chosen, 1, {...byHand(one), stop: frame}, {...byHand(one), start: frame});
		return frame;
	});
}

function merge() {
	edit((segments) => {
		const one = segments[chosen], next = segments[chosen + 1];
		if (!one || next?.start !== one.stop) return null;
		segments.splice(chosen, 2, {...byHand(one), stop: next.stop});
		return one.start;
	});
}

function remove() {
	edit((segments) => {
		const one = segments[chosen], background = video.background[0];
		if (!one) return null;
		if (one.origin !== "draft") segments.splice(chosen, 1);
		else if (background !== undefined && one.label !== background) return rename(segments, chosen, background);
		else return null;
		return one.start;
	});
}

function accept() {
	edit((segments) => {
		if (segments[chosen]?.origin !== "draft") return null;
		segments[chosen].origin = "predicted";
		return segments[chosen].start;
	});
}

/** Seconds of "63.4", "1:03.4" or "1:01:03"; NaN for anything else. */
function typedSeconds(text) {
	const parts = text.trim().replace(",", ".").split(":");
	const isClock = parts.length <= 3 && parts.every((part, place) => /^\d+(\.\d*)?$/.test(part) && (place === parts.length - 1 || !part.includes(".")));
	return isClock ? parts.reduce((seconds, part) => 60 * seconds + Number(part), 0) : NaN;
}

function typedFrame(id) { // of a time that was typed; a line where it cannot be
	const time = typedSeconds($(id).value), last = video.times.at(-1);
	if ($(id).value.trim() === "" || !(time >= 0 && time <= last + 5e-4)) {
		fault(`Enter a time between 0 and ${Timeline.clock(last, 3)}, not "${$(id).value}".`);
		return null;
	}
	return frameAt(time);
}

function apply() {
	const start = typedFrame("start"), stop = typedFrame("stop"), label = $("label").value.trim();
	if (start === null || stop === null) return;
	const one = segmentsOf()[chosen], isInstant = one?.start === one?.stop;
	if (start > stop || (start === stop && !isInstant)) return fault("A segment has to stop after it starts.");
	edit((segments) => {
		const before = segments[chosen];
		if (!before) return null;
		if (start !== before.start || stop !== before.stop) segments[chosen] = {...byHand(before), start, stop};
		const comment = $("comment").value;
		if (label && label !== before.label) rename(segments, chosen, label);
		if (comment !== before.comment) segments[chosen] = {...byHand(segments[chosen]), comment};
		return start;
	});
}

const travel = (what) => video && keep(what, "POST", {}, segmentsOf()[chosen]?.start);
const undo = () => travel("undo"), redo = () => travel("redo");

// --- the player ----------------------------------------------------------------------------------------------

function stepFrame(by) {
	const frame = Math.min(Math.max(here() + by, 0), video.times.length - 2);
	$("video").pause();
	// a moment after the frame begins, so that it is this one that is shown
	timeline.seek(video.times[frame] + (video.media ? Math.min(0.002, (video.times[frame + 1] - video.times[frame]) / 4) : 0));
	showTime();
}

function showTime() {
	if (video) $("time").textContent = `${Timeline.clock(video.times[here()], 3)} s, frame ${here()}, speed ${$("video").playbackRate}`;
}

for (const name of ["timeupdate", "seeked", "ratechange", "play", "pause"]) {
	$("video").addEventListener(name, () => {
		showTime();
		$("play").textContent = $("video").paused ? "Play" : "Pause";
	});
}

// --- names and settings --------------------------------------------------------------------------------------

function typedActions() {
	return $("actions").value.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
		const [, name, key = ""] = /^(.+?)(?:\s+\[(.)\])?$/u.exec(line);
		const before = state.actions.find((one) => one.name === name);
		return {name, key, description: before?.description ?? ""};
	});
}

function renamed(before, after) { // the one name that was typed over, so that its segments follow
	if (before.length !== after.length) return null;
	const places = before.map((_, place) => place).filter((place) => before[place] !== after[place]);
	const [place] = places;
	return places.length === 1 && !before.includes(after[place]) ? [before[place], after[place]] : null;
}

async function change(path, method, body, where) {
	try {
		const found = await ask(path, method, body);
		if (where) $(where).textContent = "";
		show(found);
		if (video) await reload();
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
		const actions = typedActions(), names = actions.map(({name}) => name);
		const base = state.actions.map(({name}) => name);
		change("/api/actions", "PUT", {actions, base, renamed: renamed(base, names)}, "actions-fault");
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
		change("/api/settings", "POST", {adjust: state.adjust});
	}, 120);
}

$("reset").onclick = () => change("/api/settings", "POST", {adjust: {}});
$("model").onchange = () => change("/api/settings", "POST", {model: $("model").value});
$("track").onchange = () => {
	row = Number($("track").value);
	timeline.select(-1, -1);
	choose(null);
};
$("add-track").onclick = () => tried(async () => {
	showVideo(await ask(`/api/videos/${video.id}/tracks`, "POST", {name: $("track-name").value}));
	$("track-name").value = "";
	row = video.tracks.length - 1;
	choose(null);
});
$("remove-track").onclick = () => tried(async () => showVideo(await ask(`/api/videos/${video.id}/tracks/${video.tracks[row].id}`, "DELETE")));
$("complete").onchange = () => tried(async () => showVideo(await ask(`/api/videos/${video.id}`, "PATCH", {complete: $("complete").checked})));
$("annotator").value = localStorage.getItem("annotator") ?? "";
$("annotator").onchange = () => localStorage.setItem("annotator", $("annotator").value);

// --- what is made of it --------------------------------------------------------------------------------------

async function download(path) {
	const answer = await fetch(path);
	if (!answer.ok) throw new Refused((await answer.json()).error, answer.status);
	const name = /filename\*=utf-8''([^;]+)|filename="([^"]+)"/i.exec(answer.headers.get("content-disposition"));
	const link = node("a", {href: URL.createObjectURL(await answer.blob()), download: decodeURIComponent(name[1] ?? name[2])});
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
	$("saved").textContent = `${link.download} was downloaded.`;
}

const chosenFormat = () => ({
	format: $("format").value,
	background: $("with-background").checked ? "1" : "0",
	drafts: $("with-drafts").checked ? "1" : "0",
});
$("download").onclick = () => tried(() =>
	download(`/api/videos/${video.id}/export?${new URLSearchParams({...chosenFormat(), track: video.tracks[row].id})}`));
$("download-all").onclick = () => tried(() => download(`/api/export?${new URLSearchParams(chosenFormat())}`));
$("download-training").onclick = () => tried(async () => {
	const track = video.tracks[row].name;
	const answers = await askRest(track, false);
	if (answers) await download(`/api/export/training?${new URLSearchParams({track, ...answers})}`);
});

const REST = {"": "choose …", background: "background (nothing happens there)", ignore: "not labelled yet", skip: "leave this video out"};

/** Ask what the unlabelled parts of videos are: of each one, or of all together. Null: the person cancelled. */
async function askRest(track, each) {
	const {videos} = await ask(`/api/train?${new URLSearchParams({track})}`);
	if (!videos.length) return {};
	const choice = (key, text) => {
		const options = Object.entries(REST).map(([value, textContent]) => node("option", {value, textContent}));
		return node("label", {}, text, " ", node("select", {name: key, required: true}, ...options));
	};
	const lines = videos.map(({name, labelled_to, duration}) =>
		`${name} is labelled to ${labelled_to.toFixed(0)} s of ${duration.toFixed(0)} s.`);
	const rows = each
		? videos.map(({id}, index) => node("p", {}, choice(id, lines[index])))
		: [...lines.map((textContent) => node("p", {textContent})), node("p", {}, choice("unlabelled", "The rest of each is"))];
	$("rest-videos").replaceChildren(...rows);
	const dialog = $("rest");
	dialog.returnValue = "no";
	dialog.showModal();
	await new Promise((resolve) => dialog.addEventListener("close", resolve, {once: true}));
	return dialog.returnValue === "yes" ? Object.fromEntries(new FormData(dialog.querySelector("form"))) : null;
}

async function load(id, file) {
	const key = (await sendPatiently(file)).file;
	const found = await ask(`/api/videos/${id}/labels`, "POST", {file: key, annotator: $("annotator").value});
	note("");
	if (video?.id === id) showVideo(found);
	const counts = Object.entries(found.imported).map(([name, count]) => `${count} segments on track ${name}`);
	$("saved").textContent = `${file.name}: ${counts.join(", ")}.`;
	await refresh();
}
$("load").onchange = () => tried(async () => {
	for (const file of $("load").files) await load(video.id, file);
	$("load").value = "";
});

$("add").onclick = () => tried(async () => {
	const found = await ask(`/api/videos/${video.id}/training-set`, "POST", {only_corrected: $("only-corrected").checked});
	$("saved").textContent = `Added to ${found.folder} as ${found.name}.`;
	await refresh();
});

const train = (teach) => tried(async () => {
	const track = video.tracks[row].name;
	const unlabelled = await askRest(track, true);
	if (!unlabelled) return;
	await ask("/api/train", "POST", {minutes: Number($("minutes").value), track, teach, unlabelled});
	await refresh();
	poll();
});
$("train").onclick = () => train(false);
$("cancel").onclick = () => tried(async () => {
	await ask("/api/train", "DELETE");
	await refresh();
});
$("teach").onclick = () => train(true);

$("adapt").onclick = () => tried(async () => {
	const found = await ask("/api/adapt", "POST", {epochs: Number($("epochs").value)});
	$("saved").textContent = `The same on the command line: ${found.command}`;
	await refresh();
	poll();
});

$("budget").onclick = () => tried(async () => {
	const {time} = await ask("/api/summary");
	const HEAD = {video: "Video", action: "Action", seconds: "Seconds", share: "%", count: "Count", mean: "Mean", deviation: "SD", first: "First"};
	const cell = (value) => typeof value === "number" && !Number.isInteger(value) ? value.toFixed(2) : value ?? "–";
	$("budget-table").tHead.replaceChildren(node("tr", {}, ...Object.values(HEAD).map((textContent) => node("th", {scope: "col", textContent}))));
	$("budget-table").tBodies[0].replaceChildren(...time.map((one) =>
		node("tr", {}, ...Object.keys(HEAD).map((key) => node("td", {textContent: cell(one[key])})))));
	$("budget-table").hidden = false;
});
for (const kind of ["csv", "xlsx"]) $(`budget-${kind}`).onclick = () => tried(() => download(`/api/summary?format=${kind}`));

// --- two labellings ------------------------------------------------------------------------------------------

const files = new Map(); // of labels to compare, by key

function listSides() {
	const tracks = video.tracks.map(({name}) => [`track ${name}`, `track ${name}`]);
	const sides = new Map([...tracks, ["predicted", "prediction"], ["shown", "labels over the prediction"], ...files]);
	for (const id of ["first", "second"]) {
		const before = $(id).value;
		$(id).replaceChildren(...[...sides].map(([value, textContent]) => node("option", {value, textContent})));
		$(id).value = sides.has(before) ? before : id === "first" ? tracks[0][0] : "predicted";
	}
}

$("label-files").onchange = () => tried(async () => {
	let key;
	for (const file of $("label-files").files) files.set(key = (await sendPatiently(file)).file, file.name);
	listSides();
	$("second").value = key;
	note("");
});

$("compare").onclick = () => tried(async () => {
	const found = await ask(`/api/videos/${video.id}/compare`, "POST", {first: $("first").value, second: $("second").value});
	const NAMES = {
		frame_accuracy: ["Frame agreement (%)", 1], "f1@10": ["F1@10", 1], "f1@25": ["F1@25", 1], "f1@50": ["F1@50", 1], edit: ["Edit", 1],
		kappa: ["Cohen's kappa", 3], edges_s: ["Mean boundary error (s)", 2], icc: ["ICC of total times", 3],
	};
	$("figures").tBodies[0].replaceChildren(...Object.entries(NAMES).map(([key, [name, digits]]) => {
		const head = node("th", {scope: "row", textContent: name});
		return node("tr", {}, head, node("td", {textContent: found.figures[key]?.toFixed(digits) ?? "–"}));
	}));
	$("figures").hidden = false;
	comparison?.destroy();
	const difference = {colour: "#c2185b", number: null, index: -1};
	const looks = {...found.colours};
	for (const {label} of found.rows.at(-1).segments) looks[label] ??= difference;
	comparison = new Timeline($("comparison"), {
		duration: video.times.at(-1), colours: looks, times: video.times, label: "Comparison", video: video.media ? $("video") : undefined,
		rows: found.rows.map((row) => ({name: row.name, editable: false, segments: row.segments.map(seconds)})),
	});
});

// --- the page ------------------------------------------------------------------------------------------------

const press = (key) => () => timeline?.press(key);
const BUTTONS = {
	split, merge, delete: remove, accept, undo, redo, apply, mark, close: end, play: press(" "), slower: press("["), faster: press("]"),
	loop: press("l"), back: () => stepFrame(-1), forward: () => stepFrame(1), instant: () => put(here(), here()), keys: () => $("help").showModal(),
};
for (const [id, run] of Object.entries(BUTTONS)) $(id).onclick = run;
$("dismiss").onclick = () => fault("");
for (const id of ["label", "start", "stop", "comment"]) {
	$(id).addEventListener("keydown", (event) => { if (event.key === "Enter") apply(); });
}
$("key-list").replaceChildren(...KEYS.flatMap(([keys, what]) => [node("dt", {}, node("kbd", {textContent: keys})), node("dd", {textContent: what})]));

document.addEventListener("keydown", (event) => {
	if (event.target.closest("textarea, select, dialog, input:not([type=checkbox], [type=range])") || event.altKey) return;
	const isControl = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
	if (event.target.closest("button, summary, video, input") && [" ", "enter"].includes(key)) return; // they are pressed
	const runs = isControl ? {z: event.shiftKey ? redo : undo, y: redo} : {
		s: split, m: merge, delete: remove, backspace: remove, enter: accept, i: mark, o: end, p: BUTTONS.instant,
		j: BUTTONS.back, k: BUTTONS.forward, "?": BUTTONS.keys,
	};
	const name = isControl ? undefined : keysOf(state?.actions ?? []).get(key);
	if (runs[key] && video) runs[key]();
	else if (name && video) give(name);
	else if (isControl || event.defaultPrevented || !timeline?.press(event.key, event.shiftKey)) return;
	if (key === "escape") choose(null);
	event.preventDefault();
	event.stopPropagation(); // the timeline need not hear it again
}, true);

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
	$("format").value = "csv";
	const others = state.project.recent.map((path) => node("li", {}, node("code", {textContent: `fact-clip app "${path}"`})));
	$("recent").hidden = !others.length;
	$("recent").lastElementChild.replaceChildren(...others);
	note(`Project ${state.project.folder}. Everything is stored there at once; nothing leaves this computer.`);
	choose(null);
	if (state.videos[0]) await open(state.videos[0].id);
	poll();
});
