/* Rows of segments over a shared time axis; with timeline.css.

const tl = new Timeline(element, {duration, rows, colours, video, times, label, unit, onSelect, onEdit, onDraw});

duration  seconds, as all times here: of real frames.
rows      [{name, editable, segments: [{start, stop, label, confidence, unseen, corrected}], raw}], in order of time. Confidence,
          0..1 or null: opacity; unseen: dashes above; corrected: a line below; raw: segments before decoding, a strip below.
colours   {label: {colour: "#rrggbb", null for background; number: shown beside it, or null}}
video     clicks seek it, it moves the cursor.  times: of frames, where edges may lie; else 0.04 s apart.
onSelect({row, index, segment}): after a click or key. onEdit({row, index, start, stop}): an edge of an editable row was
dragged or nudged; a neighbour that touched it moved along. row, index: places in `rows` and `segments`.
onDraw({row, start, stop}): something was drawn on an empty part of an editable row. .time: where the cursor is.

tl.setRows(rows), .select(row, index), .seek(seconds), .zoom(from, to), .destroy(); for buttons .press(key), see KEYS. */
{
const {max, min, abs, floor, ceil, round} = Math;
const KEYS = "Arrows: segments and rows. Space: play. L: loop the segment. Comma, full stop: move its start; with Shift its end. " +
	"[ ]: speed. + -: zoom. 0: all. Shift and arrows: pan. Double click: zoom in.";
const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800];
const clamp = (value, low, high) => min(max(value, low), high);
const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
const inkOn = ([red, green, blue]) => 0.299 * red + 0.587 * green + 0.114 * blue < 140 ? "#fff" : "#000";
const clock = (time, digits = 2) => time < 60 ? time.toFixed(digits)
	: `${floor(time / 60)}:${(time % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0")}`;

function node(tag, className, parent, attributes = {}) {
	const made = Object.assign(document.createElement(tag), {className});
	for (const key in attributes) made.setAttribute(key, attributes[key]);
	parent.append(made);
	return made;
}

function Timeline(element, {duration, rows = [], colours, video, times, label = "Timeline", unit = "s", onSelect, onEdit, onDraw}) {
	duration = max(duration, 0.04);
	let from = 0, to = duration, now = 0, chosen = null, drag = null, isSeen = false, isLoop = false, waiting;
	let width, left, height, pen, ink, paper;
	const box = node("div", "tl", element, {role: "group", "aria-label": label});
	const canvas = node("canvas", "", box,
		{tabindex: 0, role: "application", "aria-roledescription": "timeline", "aria-description": KEYS});
	const head = node("div", "tl-head", box), tip = node("div", "tl-tip", box, {role: "tooltip", hidden: ""});
	const status = node("div", "tl-status", box, {role: "status"}), stopped = new AbortController();

	const segment = (at = chosen) => rows[at?.row]?.segments[at.index];
	const find = (row, time) => // -1: none
		rows[row]?.segments.findIndex(({start, stop}) => start <= time + 1e-9 && time + 1e-9 < stop) ?? -1;
	const x = (time) => left + (time - from) / (to - from) * (width - left - 8);
	const ends = ({start, stop}) => [max(x(start), left), min(x(stop), width - 8)];
	const timeAt = (place) => from + (place - left) / (width - left - 8) * (to - from);

	function setRows(given) {
		const old = segment();
		drag = null;
		rows = given.map((row) => ({...row, segments: row.segments.map((one) => ({...one}))}));
		chosen = old && {...chosen, index: find(chosen.row, old.start)};
		if (!segment()) chosen = null;
		layout();
		say();
	}

	function select(row, index) {
		const one = segment({row, index}), span = to - from;
		chosen = one ? {row, index} : null;
		if (one && (one.start < from || one.start >= to)) zoom(one.start - span / 10, one.start + 0.9 * span);
		say();
		draw();
	}

	function seek(time) {
		now = clamp(time, 0, duration);
		if (video) video.currentTime = now;
		moveHead();
	}

	function zoom(start, stop) {
		const span = clamp(stop - start, 0.4, duration);
		from = clamp(start, 0, duration - span);
		to = from + span;
		draw();
	}

	function layout() {
		width = element.clientWidth || 600;
		left = width < 480 ? 0 : min(7 * max(0, ...rows.map((row) => row.name.length)) + 8, width / 5);
		let top = 2;
		for (const row of rows) {
			row.top = top + (left ? 0 : 15);
			row.bottom = row.top + (row.raw ? 34 : 26);
			top = row.bottom + 6;
		}
		height = top + 20;
		canvas.style.height = `${height}px`;
		head.style.height = `${top}px`;
		draw();
	}

	function draw(isPrint = false) {
		moveHead();
		if (!(isSeen || isPrint) || !box.isConnected) return;
		const scale = window.devicePixelRatio || 1, style = getComputedStyle(box), before = width;
		if (isPrint) width = 700; // about that of A4
		Object.assign(canvas, {width: width * scale, height: height * scale});
		pen = Object.assign(canvas.getContext("2d"), {font: "12px system-ui, sans-serif", textBaseline: "middle"});
		ink = isPrint ? "#000" : style.color;
		paper = !isPrint && inkOn(ink.match(/\d+/g)) === "#000" ? 24 : 255;
		pen.scale(scale, scale);
		drawAxis();
		rows.forEach((row, place) => {
			pen.fillStyle = ink;
			pen.fillText(fit(row.name, left || width), 3, row.top + (left ? 13 : -7));
			drawBars(row.segments, row.top, 26);
			drawBars(row.raw ?? [], row.top + 27, 7);
			if (chosen?.row !== place) return;
			const [first, last] = ends(segment());
			Object.assign(pen, {strokeStyle: style.getPropertyValue("--tl-accent"), lineWidth: 3});
			if (last > first) pen.strokeRect(first, row.top, last - first, 26);
		});
		width = before;
	}

	function drawBars(segments, top, tall) {
		let drawn = -1;
		for (const {start, stop, label: name, confidence, unseen, corrected} of segments) {
			const [first, last] = ends({start, stop: start === stop ? stop + 2.5 * (to - from) / width : stop}), size = last - first;
			if (size <= 0 || last - drawn < 0.3) continue;
			drawn = last;
			const {colour, number} = colours[name] ?? {}, alpha = (colour ? 1 : 0.15) * (0.25 + 0.75 * (confidence ?? 1));
			Object.assign(pen, {globalAlpha: alpha, fillStyle: colour ?? ink});
			pen.fillRect(first, top, size > 3 ? size - 0.8 : max(size, 0.8), tall);
			pen.globalAlpha = 1;
			if (tall < 26) continue;
			pen.fillStyle = inkOn(rgb(colour ?? "#888888").map((part) => part * alpha + paper * (1 - alpha)));
			if (corrected) pen.fillRect(first, top + 23, size, 3);
			const text = `${number ?? ""}`;
			if (colour && size > 60) pen.fillText(fit(`${text} ${name}`, size), first + 3, top + 14, size - 5);
			else if (colour && size > 7 * text.length + 4) pen.fillText(text, first + 3, top + 14);
			if (unseen) pen.clearRect(first, top, size, 4);
			pen.fillStyle = ink;
			for (let at = first; unseen && at < last; at += 9) pen.fillRect(at, top, min(6, last - at), 3);
		}
	}

	const fit = (text, room) => text.length < room / 7 ? text : `${text.slice(0, max(room / 7 - 1, 0))}…`;

	function drawAxis() {
		const least = 80 * (to - from) / width, step = STEPS.find((one) => one >= least) ?? 7200, bottom = height - 9;
		pen.fillStyle = ink;
		for (let count = ceil(from / step); count * step <= to; count++) {
			const place = x(count * step), text = clock(count * step, step < 1 ? 2 : 0);
			pen.globalAlpha = 0.2;
			pen.fillRect(place, 0, 1, bottom - 8);
			pen.globalAlpha = 1;
			pen.fillText(text, clamp(place - 3 * text.length, left, width - 7 * (text.length + unit.length) - 8), bottom);
		}
		pen.fillText(unit, width - 7 * unit.length, bottom);
	}

	function moveHead() {
		head.hidden = !now && !video || now < from || now > to;
		head.style.left = `${x(now) - 1}px`;
	}

	function describe(at) {
		const {start, stop, label: name, confidence, unseen, corrected} = segment(at);
		return [rows[at.row].name, name, `${clock(start)} to ${clock(stop)} ${unit} (${(stop - start).toFixed(2)} ${unit})`,
			confidence != null && `confidence ${round(100 * confidence)} %`, unseen && "unseen class", corrected && "corrected",
		].filter(Boolean);
	}

	function say() {
		status.textContent = chosen ? describe(chosen).join(", ") : "";
		canvas.setAttribute("aria-label", status.textContent || `${label}, ${rows.length} rows, no segment chosen`);
	}

	function choose(row, index, time) {
		select(row, index);
		if (!chosen) return;
		seek(time ?? segment().start);
		onSelect?.({row, index, segment: {...segment()}});
	}

	function under({clientX, clientY}) {
		const bounds = canvas.getBoundingClientRect(), across = clientX - bounds.left, down = clientY - bounds.top;
		const row = rows.findIndex((one) => down >= one.top && down <= one.bottom), time = timeAt(across);
		let edge, nearest = 6;
		for (const side of rows[row]?.editable ? ["stop", "start"] : []) rows[row].segments.forEach((one, index) => {
			const away = abs(x(one[side]) - across);
			if (away < nearest && range({row, index, side})) [nearest, edge] = [away, {row, index, side}];
		});
		return {across, down, row, time, edge, index: across < left ? -1 : find(row, time)};
	}

	function shifted(time, frames = 0) { // a frame time
		if (!times) return time + 0.04 * frames;
		const best = times.reduce((best, one, at) => abs(one - time) < abs(times[best] - time) ? at : best, 0);
		return times[clamp(best + frames, 0, times.length - 1)];
	}

	function range({row, index, side}) { // where an edge may go; null at the video's ends
		const one = segment({row, index}), isStart = side === "start", sign = isStart ? 1 : -1, other = isStart ? "stop" : "start";
		if (isStart ? one.start <= 1e-6 : one.stop >= duration - 1e-6) return null;
		const beside = segment({row, index: index - sign}), touches = beside && abs(beside[other] - one[side]) < 1e-6;
		const outer = touches ? shifted(beside[side], sign) : beside?.[other] ?? (isStart ? 0 : duration);
		const inner = shifted(one[other], -sign);
		return {low: min(inner, outer), high: max(inner, outer), beside: touches ? beside : {}, other};
	}

	function moveEdge(edge, time) {
		const {low, high, beside, other} = range(edge) ?? {}, value = clamp(shifted(time), low, high), corrected = true;
		if (!beside) return;
		Object.assign(segment(edge), {[edge.side]: value, corrected});
		Object.assign(beside, {[other]: value, corrected});
		if (video) seek(value);
		say();
		draw();
	}

	const edited = ({row, index}, {start, stop} = segment({row, index})) => onEdit?.({row, index, start, stop});

	function nudge(side, frames) {
		if (!rows[chosen?.row]?.editable) return;
		const one = segment(), before = one[side];
		moveEdge({...chosen, side}, shifted(before, frames));
		if (one[side] !== before) edited(chosen);
	}

	function hover(at) {
		if (drag && abs(at.across - drag.across) > 3) drag.moved = true;
		if (drag?.moved && drag.edge) moveEdge(drag.edge, at.time);
		else if (drag?.moved && drag.isDrawn) {
			draw();
			Object.assign(pen, {globalAlpha: 0.4, fillStyle: ink});
			pen.fillRect(min(drag.across, at.across), rows[drag.row].top, abs(at.across - drag.across), 26);
			pen.globalAlpha = 1;
		}
		else if (drag?.moved) {
			const by = (drag.across - at.across) / (width - left) * (drag.to - drag.from);
			zoom(drag.from + by, drag.to + by);
		}
		const what = drag?.edge ?? at;
		canvas.style.cursor = (drag ?? at).edge ? "ew-resize" : at.index < 0 ? "" : "pointer";
		tip.hidden = !segment(what);
		if (tip.hidden) return;
		tip.textContent = describe(what).join("\n");
		tip.style.left = `${clamp(at.across + 12, 0, max(width - tip.offsetWidth, 0))}px`;
		tip.style.top = `${at.down + 18}px`;
	}

	function release(at) {
		const {edge, moved, isDrawn, row, time} = drag ?? {moved: true};
		drag = null;
		if (moved && isDrawn) {
			draw();
			return onDraw({row, start: shifted(clamp(min(time, at.time), 0, duration)), stop: shifted(clamp(max(time, at.time), 0, duration))});
		}
		if (moved) return edge && edited(edge);
		if (at.index >= 0) choose(at.row, at.index, at.time);
		else if (at.across >= left) seek(at.time);
	}

	const play = () => video?.[video.paused ? "play" : "pause"]()?.catch(() => {});
	const speed = (by) => { if (video) status.textContent = `speed ${video.playbackRate = clamp(video.playbackRate * by, 0.25, 4)}`; };
	const pan = (share) => zoom(from + share * (to - from), to + share * (to - from));
	const scale = (factor, around = clamp(now, from, to)) => zoom(around - (around - from) * factor, around + (to - around) * factor);

	function step(by, rowBy = 0) {
		const row = clamp((chosen?.row ?? -rowBy) + rowBy, 0, rows.length - 1), here = max(find(row, now), 0);
		if (rowBy || !chosen) choose(row, here, now);
		else choose(row, clamp(chosen.index + by, 0, rows[row].segments.length - 1));
	}

	const actions = {
		ArrowLeft: (isShift) => isShift ? pan(-0.25) : step(-1), ArrowRight: (isShift) => isShift ? pan(0.25) : step(1),
		ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1), " ": play, l: loop, L: loop, "[": () => speed(0.5), "]": () => speed(2),
		",": () => nudge("start", -1), ".": () => nudge("start", 1), "<": () => nudge("stop", -1), ">": () => nudge("stop", 1),
		"+": () => scale(0.5), "-": () => scale(2), 0: () => zoom(0, duration), Escape: () => select(-1, -1),
	};

	function press(key, isShift) {
		actions[key]?.(isShift);
		return key in actions;
	}

	function loop() {
		isLoop = !isLoop;
		if (isLoop && chosen) seek(segment().start);
		status.textContent = isLoop ? "loop" : "no loop";
	}

	function follow() {
		now = video.currentTime;
		if (isLoop && chosen && !video.paused && now >= segment().stop) seek(segment().start);
		if (!video.paused && (now > to || now < from)) zoom(now, now + to - from);
		moveHead();
		cancelAnimationFrame(waiting);
		if (!video.paused && !stopped.signal.aborted) waiting = requestAnimationFrame(follow);
	}

	const on = (target, name, run) => target.addEventListener(name, run, {signal: stopped.signal, passive: false});
	on(canvas, "pointerdown", (event) => {
		const at = under(event), isDrawn = Boolean(onDraw && rows[at.row]?.editable && at.index < 0 && at.across >= left && !at.edge);
		drag = event.button ? null : {...at, from, to, isDrawn};
		canvas.setPointerCapture(event.pointerId);
	});
	on(canvas, "pointermove", (event) => hover(under(event)));
	on(canvas, "pointerup", (event) => release(under(event)));
	on(canvas, "pointercancel", () => { drag = null; });
	on(canvas, "pointerleave", () => { tip.hidden = true; });
	on(canvas, "keydown", (event) => {
		if (!event.ctrlKey && !event.metaKey && !event.altKey && press(event.key, event.shiftKey)) event.preventDefault();
	});
	on(canvas, "dblclick", (event) => {
		const {start, stop} = segment(under(event)) ?? {start: 0, stop: duration};
		zoom(2 * start - stop, 2 * stop - start);
	});
	on(canvas, "wheel", (event) => {
		if (event.ctrlKey) scale(1.003 ** event.deltaY, under(event).time);
		else if (event.deltaX) pan(event.deltaX / width);
		else return;
		event.preventDefault();
	});
	for (const name of video ? ["play", "timeupdate", "seeked"] : []) on(video, name, follow);
	on(matchMedia("(prefers-color-scheme: dark)"), "change", () => draw());
	on(window, "beforeprint", () => draw(true));
	on(window, "afterprint", () => draw());
	const sized = new ResizeObserver(() => element.clientWidth !== width && layout()), seen = new IntersectionObserver((entries) => {
		isSeen = entries.at(-1).isIntersecting;
		if (isSeen) draw();
		else canvas.width = 0; // frees its memory
	}, {rootMargin: "200px"});
	sized.observe(element);
	seen.observe(element);

	function destroy() {
		stopped.abort();
		sized.disconnect();
		seen.disconnect();
		box.remove();
	}
	Object.defineProperty(this, "time", {get: () => now});
	Object.assign(this, {setRows, select, seek, zoom, press, draw, destroy});
	setRows(rows);
}

globalThis.Timeline = Object.assign(Timeline, {KEYS, rgb, inkOn, clock, node});
}
