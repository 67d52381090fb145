/* Rows of segments over a shared time axis; with tools.js, painter.js and timeline.css.

const tl = new Timeline(element, {duration, rows, colours, video, times, label, unit, onSelect, onEdit, onDraw});

duration  seconds, as all times here: of real frames.
rows      [{name, editable, segments, raw, curve, isMain}]. raw: segments before decoding, a strip below. curve: a line at their
          confidence. isMain: the overview shows this row, or else the first one.
segments  [{start, stop, label, kind, confidence, unseen, corrected}], in order of time, apart from each other, but instants
          (start == stop) may lie over others. kind: "label", "accepted" (a draft that became a label) or "draft"; without it a prediction:
          the lower its confidence, 0..1 or null, the lighter, and a line below if it was corrected. unseen: dashes above.
colours   {label: {colour: "#rrggbb", null for background; number: a number or sign shown beside it, or null}}
video     clicks seek it, it moves the cursor.  times: of frames, where edges may lie; else 0.04 s apart.
rowHeight pixels (26).  overview: true for a strip of a row above all, with the visible part as a frame to drag.
headWidth pixels beside the rows for heads of the page, which then draws no names (0).
keys      false: only arrows, + - 0, Home and End are handled here; the page calls methods for the rest.

onSelect({row, index, segment}): after a click or key; index -1 after a click beside all segments. onEdit({row, index, start,
stop}): an edge of a label of an editable row was dragged by its handle, or nudged; a label that touched it moved along, drafts
gave way. The chosen segment has handles if a person chose it. row, index: places in `rows` and `segments`.
onDraw({row, start, stop}): something was drawn on an editable row, over whatever lies there. onLoop(isLooping).
Drawn and dragged edges go to those of neighbours and to the cursor within 7 pixels, unless Alt is held, then to frames.

tl.setRows(rows), .select(row, index, hasHandles), .record({row, start, colour} or null): a bar from there to the cursor,
.seek(seconds), .zoom(from, to), .destroy(); .time: where the cursor is; .range: {from, to, left, right}, what is visible
and from which pixel to which;
what keys do: .play(), .speed(factor), .loop() and .looping, .nudge("start" or "stop", frames), .step(segments, rows),
.pan(share of the visible part), .zoomBy(factor of its length), .press(key, isShift): true if the key is one of these. */
class Timeline {
	static MOVES = "Arrows: segments and rows. + -: zoom. 0: all. Home, End: start and end. Shift and arrows: pan. Double click: zoom in.";
	static KEYS = `${Timeline.MOVES} Space: play. L: loop the segment. Comma, full stop: move its start; with Shift its end. [ ]: speed.`;
	static KINDS = {label: "label", accepted: "accepted draft", draft: "draft"};
	static clock = TimelineTools.clock;
	static inkOn = TimelineTools.inkOn;
	static node = TimelineTools.node;
	static rgb = TimelineTools.rgb;
	static #REACH = 7; // pixels within which an edge goes to another one

	#element; // the page's
	#options;
	#scale;
	#painter;
	#video;
	#rows = [];
	#height = 0;
	#now = 0; // the cursor
	#chosen = null; // {row, index}
	#hasHandles = false; // whether its edges can be dragged
	#recording = null; // {row, start, colour}
	#drag = null; // see #grab
	#pointer = null; // where the mouse was last, while it is over the canvas
	#isSeen = false; // near the screen
	#looping = false;
	#waiting; // animation frame
	#stopped = new AbortController();
	#observers = [];

	constructor(element, {duration, rows = [], video, ...options}) {
		const {label = "Timeline", unit = "s", rowHeight = 26, headWidth = 0, overview = false, keys = true} = options;
		this.#element = element;
		this.#options = {...options, label, unit, rowHeight, headWidth, overview, keys};
		this.#scale = new TimelineTools.Scale(Math.max(duration, 0.04));
		this.#video = video;
		this.#build();
		this.#painter = new TimelinePainter(this.canvas, this.#scale, this.#options);
		this.#listen();
		this.setRows(rows);
	}

	get time() {
		return this.#now;
	}

	get looping() {
		return this.#looping;
	}

	get range() {
		const {from, to, left, right} = this.#scale;
		return {from, to, left, right};
	}

	// --- the elements ---------------------------------------------------------------------------------------------

	#build() {
		const {label, keys, overview} = this.#options;
		const {node} = TimelineTools;
		this.box = node("div", "tl", this.#element, {role: "group", "aria-label": label});
		this.canvas = node("canvas", "", this.box, {
			tabindex: 0,
			role: "application",
			"aria-roledescription": "timeline",
			"aria-description": keys ? Timeline.KEYS : Timeline.MOVES,
		});
		this.head = node("div", "tl-head", this.box);
		this.ghost = node("div", "tl-ghost", this.box, {hidden: ""});
		this.bar = node("div", "tl-recording", this.box, {hidden: ""});
		if (overview) this.#buildOverview();
		this.tip = node("div", "tl-tip", this.box, {role: "tooltip", hidden: ""});
		this.status = node("div", "tl-status", this.box, {role: "status"});
	}

	#buildOverview() {
		const {node} = TimelineTools;
		this.canvas.id ||= `tl-${Math.random().toString(36).slice(2)}`;
		this.overview = node("div", "tl-overview", this.box, {
			role: "scrollbar",
			"aria-label": "Visible part",
			"aria-orientation": "horizontal",
			"aria-controls": this.canvas.id,
			"aria-valuemin": 0,
			"aria-valuemax": 100,
		});
		this.frame = node("div", "tl-frame", this.overview);
		this.mark = node("div", "tl-mark", this.overview);
	}

	#listen() {
		const {canvas, overview} = this;
		const on = (target, name, run) => {
			target.addEventListener(name, run, {signal: this.#stopped.signal, passive: false});
		};
		on(canvas, "pointerdown", (event) => this.#grab(event));
		on(canvas, "pointermove", (event) => this.#hover(event));
		on(canvas, "pointerup", (event) => this.#release(event));
		on(canvas, "pointercancel", () => this.#cancel());
		on(canvas, "pointerleave", () => this.#leave());
		on(canvas, "keydown", (event) => this.#type(event));
		on(canvas, "dblclick", (event) => this.#zoomIn(event));
		on(canvas, "wheel", (event) => this.#turn(event));
		if (overview) {
			on(overview, "pointerdown", (event) => this.#grabOverview(event));
			on(overview, "pointermove", (event) => this.#moveOverview(event));
			on(overview, "wheel", (event) => this.#turn(event));
		}
		if (this.#video) {
			for (const name of ["play", "timeupdate", "seeked"]) on(this.#video, name, () => this.#follow());
		}
		on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.#refresh());
		on(window, "beforeprint", () => this.draw(true));
		on(window, "afterprint", () => this.draw());
		this.#observe();
	}

	#observe() {
		const sized = new ResizeObserver(() => {
			if (this.#element.clientWidth !== this.#scale.width) this.#layout();
		});
		const seen = new IntersectionObserver((entries) => {
			this.#isSeen = entries.at(-1).isIntersecting;
			if (this.#isSeen) this.draw();
			else this.canvas.width = 0; // frees its memory
		}, {rootMargin: "200px"});
		sized.observe(this.#element);
		seen.observe(this.#element);
		this.#observers = [sized, seen];
	}

	destroy() {
		this.#stopped.abort();
		for (const observer of this.#observers) observer.disconnect();
		this.box.remove();
	}

	// --- rows and drawing -----------------------------------------------------------------------------------------

	setRows(rows) {
		const old = this.#segment();
		this.#rows = rows.map((row) => ({...row, ...TimelineTools.layers(row.segments)}));
		this.#chosen = old && this.#again(this.#chosen.row, old);
		this.#keepDrag();
		this.#layout();
		this.#say();
		if (this.#pointer && !this.#drag) this.#showTip(this.#under(this.#pointer));
	}

	#again(row, old) { // a segment in new rows: {row, index}, or null
		const layer = this.#rows[row]?.[TimelineTools.isInstant(old) ? "instants" : "spans"] ?? [];
		const one = layer[TimelineTools.find(layer, old.start)];
		return one ? {row, index: one.index} : null;
	}

	#keepDrag() { // rows may come while the mouse is down: somebody else changed something
		const drag = this.#drag;
		if (drag?.mode !== "edge") return;
		const at = this.#again(drag.edge.row, drag.old);
		const one = this.#segment(at);
		if (one?.label !== drag.old.label || one.start !== drag.old.start || one.stop !== drag.old.stop) {
			this.#drag = null;
			return;
		}
		drag.edge.index = at.index;
		drag.saved = this.#rows[at.row];
	}

	#segment(at = this.#chosen) {
		return this.#rows[at?.row]?.segments[at.index];
	}

	#layout() {
		const {rowHeight, headWidth, overview} = this.#options;
		const scale = this.#scale;
		scale.width = this.#element.clientWidth || 600;
		const letters = Math.max(0, ...this.#rows.map(({name}) => name.length));
		scale.left = scale.width < 480 ? 0 : headWidth || Math.min(7 * letters + 8, scale.width / 5);
		let top = overview ? TimelinePainter.STRIP + 8 : 2;
		const first = top;
		for (const row of this.#rows) {
			row.top = top + (scale.left ? 0 : 15); // a narrow page has names above rows
			row.bottom = row.top + rowHeight + (row.raw ? 8 : 0);
			top = row.bottom + 6;
		}
		this.#height = top + 20;
		this.canvas.style.height = `${this.#height}px`;
		this.head.style.top = `${first - 2}px`;
		this.head.style.height = `${top - first + 2}px`;
		if (this.overview) {
			this.overview.style.left = `${scale.left}px`;
			this.overview.style.width = `${scale.right - scale.left}px`;
		}
		this.#refresh();
	}

	#refresh() { // the overview, too
		this.#painter.strip = null;
		this.draw();
	}

	draw(isPrint = false) {
		this.#showTime();
		this.#showGhost();
		if (!(this.#isSeen || isPrint) || !this.box.isConnected) return;
		const width = this.#scale.width;
		if (isPrint) this.#scale.width = 700; // about that of A4
		this.#painter.paint({
			height: this.#height,
			rows: this.#rows,
			chosen: this.#chosen,
			hasHandles: this.#hasHandles && this.#segment() && this.#isMovable(this.#chosen.row, this.#segment()),
			hasOverview: Boolean(this.overview),
		}, isPrint);
		this.#scale.width = width;
	}

	#showTime() {
		const {from, to, span, duration} = this.#scale;
		const now = this.#now;
		this.head.hidden = (!now && !this.#video) || now < from || now > to;
		this.head.style.left = `${this.#scale.x(now) - 1}px`;
		this.#showRecording();
		if (!this.overview) return;
		const percent = (time) => `${100 * time / duration}%`;
		this.frame.style.left = percent(from);
		this.frame.style.width = percent(span);
		this.mark.style.left = percent(now);
		const place = duration > span ? from / (duration - span) : 0;
		this.overview.setAttribute("aria-valuenow", Math.round(100 * place));
		this.overview.setAttribute("aria-valuetext", this.#period({start: from, stop: to}));
	}

	record(recording) {
		this.#recording = recording;
		this.#showRecording();
	}

	#showRecording() {
		const {row, start, colour} = this.#recording ?? {};
		const end = this.#now;
		const span = {row, start: Math.min(start, end), stop: Math.max(start, end)};
		this.#showOver(this.bar, this.#recording && span);
		this.bar.style.background = colour ?? "";
	}

	#showOver(element, span) { // an element above the canvas, which need not be drawn again
		element.hidden = !span || !this.#rows[span.row];
		if (element.hidden) return;
		const {left, top, wide, tall} = this.#painter.boxOf(span, this.#rows[span.row].top, this.#options.rowHeight);
		const place = {left, top, width: Math.max(wide, 0), height: tall};
		for (const side in place) element.style[side] = `${place[side]}px`;
	}

	// --- words ----------------------------------------------------------------------------------------------------

	#period({start, stop}) {
		const {unit} = this.#options;
		const clock = (time) => TimelineTools.clock(time, 2, unit);
		if (start === stop) return `${clock(start)} ${unit} (instant)`;
		return `${clock(start)} to ${clock(stop)} ${unit} (${(stop - start).toFixed(2)} ${unit})`;
	}

	#describe(at) {
		const one = this.#segment(at);
		const words = [this.#rows[at.row].name, one.label, this.#period(one)];
		if (one.confidence != null) words.push(`confidence ${Math.round(100 * one.confidence)} %`);
		if (one.unseen) words.push("unseen class");
		if (one.kind) words.push(Timeline.KINDS[one.kind]);
		else if (one.corrected) words.push("corrected");
		return words;
	}

	#say() {
		const words = this.#segment() ? this.#describe(this.#chosen).join(", ") : "";
		this.status.textContent = words;
		const count = `${this.#options.label}, ${this.#rows.length} rows, no segment chosen`;
		this.canvas.setAttribute("aria-label", words || count);
	}

	// --- what is chosen and visible -------------------------------------------------------------------------------

	select(row, index, hasHandles = false) {
		const one = this.#segment({row, index});
		this.#chosen = one ? {row, index} : null;
		this.#hasHandles = hasHandles;
		if (one) this.#reveal(one.start);
		this.#say();
		this.draw();
	}

	#reveal(time) {
		const {from, to, span, duration} = this.#scale;
		if (time >= from && (time < to || to >= duration)) return;
		this.zoom(time - span / 10, time + 0.9 * span);
	}

	#choose(row, index, time) { // as a person does
		this.select(row, index, true);
		const one = this.#segment();
		if (!one) return;
		this.seek(time ?? one.start);
		this.#options.onSelect?.({row, index, segment: {...one}});
	}

	seek(time) {
		this.#now = TimelineTools.clamp(time, 0, this.#scale.duration);
		if (this.#video) this.#video.currentTime = this.#now;
		this.#reveal(this.#now);
		this.#showTime();
	}

	zoom(start, stop) {
		this.#scale.show(start, stop);
		this.draw();
	}

	pan(share) {
		const {from, to, span} = this.#scale;
		this.zoom(from + share * span, to + share * span);
	}

	zoomBy(factor, time = TimelineTools.clamp(this.#now, this.#scale.from, this.#scale.to)) {
		const {from, to} = this.#scale;
		this.zoom(time - (time - from) * factor, time + (to - time) * factor);
	}

	step(by, rowBy = 0) {
		if (this.#chosen && !rowBy) {
			const {row, index} = this.#chosen;
			this.#choose(row, TimelineTools.clamp(index + by, 0, this.#rows[row].segments.length - 1));
			return;
		}
		const row = this.#nextRow(rowBy);
		if (row === null) return;
		this.#choose(row, Math.max(this.#spanAt(row, this.#now), 0), this.#now);
	}

	#nextRow(by) { // the next one that has segments
		const last = this.#rows.length - 1;
		let row = this.#chosen ? TimelineTools.clamp(this.#chosen.row + by, 0, last) : 0;
		while (row >= 0 && row <= last) {
			if (this.#rows[row].segments.length) return row;
			row += by || 1;
		}
		return this.#chosen?.row ?? null;
	}

	// --- the video ------------------------------------------------------------------------------------------------

	play() {
		const video = this.#video;
		if (video?.paused) video.play()?.catch(() => {}); // the page says what cannot be played
		else video?.pause();
	}

	speed(factor) {
		if (!this.#video) return;
		this.#video.playbackRate = TimelineTools.clamp(this.#video.playbackRate * factor, 0.25, 4);
		this.status.textContent = `speed ${this.#video.playbackRate}`;
	}

	loop() {
		this.#looping = !this.#looping;
		if (this.#looping && this.#segment()) this.seek(this.#segment().start);
		this.status.textContent = this.#looping ? "loop" : "no loop";
		this.#options.onLoop?.(this.#looping);
	}

	#follow() {
		const video = this.#video;
		const one = this.#segment();
		this.#now = video.currentTime;
		if (this.#looping && one && !video.paused && this.#now >= one.stop) this.seek(one.start);
		this.#reveal(this.#now);
		this.#showTime();
		cancelAnimationFrame(this.#waiting);
		if (video.paused || this.#stopped.signal.aborted) return;
		this.#waiting = requestAnimationFrame(() => this.#follow());
	}

	// --- edges ----------------------------------------------------------------------------------------------------

	#frameTime(time, frames = 0) { // the nearest frame time, or one that is some frames away
		const {times} = this.#options;
		if (!times) return time + 0.04 * frames;
		const place = TimelineTools.nearest(times, time) + frames;
		return times[TimelineTools.clamp(place, 0, times.length - 1)];
	}

	#snapped(time, {row, now, except, isFree}) { // except: an edge that is no neighbour's
		let best = time;
		let reach = Timeline.#REACH * this.#scale.pixel;
		const near = (layer) => TimelineTools.edgesNear(layer, time);
		const edges = isFree ? [] : [...near(row.spans), ...near(row.instants), now];
		for (const edge of edges) {
			const away = Math.abs(edge - time);
			if (away > reach || edge === except) continue;
			best = edge;
			reach = away;
		}
		return this.#frameTime(TimelineTools.clamp(best, 0, this.#scale.duration));
	}

	#beside({row, index}, by) { // the next label with a length, for drafts give way
		const {segments, spans} = this.#rows[row];
		let place = spans.indexOf(segments[index]) + by;
		while (spans[place]?.kind === "draft") place += by;
		return spans[place];
	}

	/* Where an edge may go, and the label that touches it and moves along: one frame of both remains. */
	#limits({row, index, side}) {
		const one = this.#segment({row, index});
		const isStart = side === "start";
		const inward = isStart ? 1 : -1;
		const other = isStart ? "stop" : "start";
		const beside = this.#beside({row, index}, -inward);
		const touches = beside && Math.abs(beside[other] - one[side]) < 1e-6;
		const inner = this.#frameTime(one[other], -inward);
		let outer = beside?.[other] ?? (isStart ? 0 : this.#scale.duration);
		if (touches) outer = this.#frameTime(beside[side], inward);
		return {low: Math.min(inner, outer), high: Math.max(inner, outer), beside: touches ? beside : null, other};
	}

	#moveEdge({row, index, side}, time) {
		const {low, high, beside, other} = this.#limits({row, index, side});
		const one = this.#segment({row, index});
		const value = TimelineTools.clamp(time, low, high);
		one[side] = value;
		one.corrected = true;
		if (beside) {
			beside[other] = value;
			beside.corrected = true;
		}
		this.#coverDrafts(row, index);
		if (this.#video) this.seek(value);
		this.draw();
	}

	#coverDrafts(row, index) { // the drafts beside a label end where it begins, and begin where it ends
		const {segments, spans} = this.#rows[row];
		const {start, stop} = segments[index];
		const place = spans.indexOf(segments[index]);
		for (let at = place - 1; spans[at]?.kind === "draft" && spans[at].stop > start; at--) {
			spans[at].stop = start;
			spans[at].start = Math.min(spans[at].start, start);
			spans[at].isCovered = spans[at].start === start;
		}
		for (let at = place + 1; spans[at]?.kind === "draft" && spans[at].start < stop; at++) {
			spans[at].start = stop;
			spans[at].stop = Math.max(spans[at].stop, stop);
			spans[at].isCovered = spans[at].stop === stop;
		}
	}

	#edited({row, index}) {
		const {start, stop} = this.#segment({row, index});
		this.#painter.strip = null;
		this.#say();
		this.draw();
		this.#options.onEdit?.({row, index, start, stop});
	}

	nudge(side, frames) {
		const one = this.#segment();
		if (!one || !this.#isMovable(this.#chosen.row, one)) return;
		const {row, index} = this.#chosen;
		const before = one[side];
		this.#moveEdge({row, index, side}, this.#frameTime(before, frames));
		if (one[side] !== before) this.#edited({row, index});
	}

	#isMovable(row, one) {
		return this.#rows[row].editable && one.kind !== "draft" && !TimelineTools.isInstant(one);
	}

	// --- the mouse ------------------------------------------------------------------------------------------------

	#under({clientX, clientY}) {
		const bounds = this.canvas.getBoundingClientRect();
		const across = clientX - bounds.left;
		const down = clientY - bounds.top;
		const row = this.#rows.findIndex(({top, bottom}) => down >= top && down <= bottom);
		const time = this.#scale.time(across);
		const isBeside = row < 0 || across < this.#scale.left; // among the names, or between rows
		const index = isBeside ? -1 : this.#indexAt(row, time);
		return {across, down, row, time, index, isBeside, edge: this.#edgeAt(row, index, across)};
	}

	#indexAt(row, time) {
		const {instants} = this.#rows[row];
		const place = TimelineTools.lastStart(instants, time);
		for (const one of instants.slice(Math.max(place, 0), place + 2)) { // an instant is narrow
			if (Math.abs(one.start - time) <= 5 * this.#scale.pixel) return one.index;
		}
		return this.#spanAt(row, time);
	}

	#spanAt(row, time) {
		const {spans} = this.#rows[row];
		return spans[TimelineTools.find(spans, time)]?.index ?? -1;
	}

	#edgeAt(row, index, across) { // of the segment with handles, and inside it, so that one can draw right beside it
		const one = this.#segment({row, index});
		const isChosen = this.#chosen?.row === row && this.#chosen.index === index;
		if (!one || !isChosen || !this.#hasHandles || !this.#isMovable(row, one)) return null;
		const start = this.#scale.x(one.start);
		const stop = this.#scale.x(one.stop);
		const grip = Math.min(TimelinePainter.GRIP, (stop - start) / 4);
		if (across - start <= grip) return {row, index, side: "start"};
		if (stop - across <= grip) return {row, index, side: "stop"};
		return null;
	}

	#grab(event) {
		this.#drag = null;
		this.canvas.setPointerCapture(event.pointerId);
		if (event.button) return;
		const at = this.#under(event);
		const {from, to} = this.#scale;
		const mode = this.#modeOf(at, event.shiftKey);
		this.#drag = {mode, at, from, to, now: this.#now, isMoved: false};
		if (mode !== "edge") return;
		const old = this.#segment(at.edge);
		this.#drag.edge = at.edge;
		this.#drag.old = {...old};
		this.#drag.away = at.time - old[at.edge.side]; // from the edge, which does not jump to the mouse
		this.#drag.saved = this.#rows[at.row];
	}

	#modeOf(at, isShift) {
		if (isShift || at.isBeside || !this.#rows[at.row].editable) return "pan";
		if (at.edge) return "edge";
		return this.#options.onDraw ? "draw" : "pan";
	}

	#hover(event) {
		this.#pointer = {clientX: event.clientX, clientY: event.clientY};
		const at = this.#under(event);
		const drag = this.#drag;
		if (drag && Math.abs(at.across - drag.at.across) > 3) drag.isMoved = true;
		if (drag?.isMoved) this.#move(at, event.altKey);
		this.#showCursor(at);
		this.#showTip(at);
	}

	#move(at, isFree) {
		const {mode} = this.#drag;
		if (mode === "edge") this.#dragEdge(at, isFree);
		else if (mode === "draw") this.#dragGhost(at, isFree);
		else this.#dragView(at);
	}

	#dragEdge(at, isFree) {
		const {edge, old, away, saved, now} = this.#drag;
		this.#rows[edge.row] = {...saved, ...TimelineTools.layers(saved.segments)};
		const except = old[edge.side];
		this.#moveEdge(edge, this.#snapped(at.time - away, {row: saved, now, except, isFree}));
	}

	#dragGhost(at, isFree) {
		const drag = this.#drag;
		const how = {row: this.#rows[drag.at.row] ?? {spans: [], instants: []}, now: drag.now, isFree};
		const first = this.#snapped(drag.at.time, how);
		const last = this.#snapped(at.time, how);
		drag.ghost = {row: drag.at.row, start: Math.min(first, last), stop: Math.max(first, last)};
		this.#showGhost();
	}

	#showGhost() {
		this.#showOver(this.ghost, this.#drag?.ghost);
	}

	#dragView(at) {
		const {from, to, at: begun} = this.#drag;
		const {left, right} = this.#scale;
		const by = (begun.across - at.across) / (right - left) * (to - from);
		this.zoom(from + by, to + by);
	}

	#release(event) {
		const at = this.#under(event);
		const drag = this.#drag;
		this.#drag = null;
		if (!drag) return;
		this.#showGhost();
		if (!drag.isMoved) this.#click(at);
		else if (drag.mode === "draw" && drag.ghost.start < drag.ghost.stop) this.#options.onDraw(drag.ghost);
		else if (drag.mode === "edge") this.#dropEdge(drag);
		this.#showCursor(at);
	}

	#click(at) {
		if (at.index >= 0) this.#choose(at.row, at.index, at.time);
		else if (at.across >= this.#scale.left) this.#clickBeside(at);
	}

	#clickBeside({row, time}) {
		this.select(-1, -1);
		this.seek(time);
		this.#options.onSelect?.({row, index: -1});
	}

	#dropEdge({edge, old}) {
		const {start, stop} = this.#segment(edge);
		if (start !== old.start || stop !== old.stop) this.#edited(edge);
	}

	#cancel() {
		const drag = this.#drag;
		this.#drag = null;
		if (drag?.mode === "edge") this.#rows[drag.edge.row] = drag.saved;
		this.#showGhost();
		this.draw();
	}

	/* Drop what is being dragged, if anything is; return whether it was. */
	cancelDrag() {
		const isDragging = Boolean(this.#drag?.isMoved);
		if (isDragging) this.#cancel();
		return isDragging;
	}

	#leave() {
		this.#pointer = null;
		this.tip.hidden = true;
	}

	#showCursor(at) {
		const isDrawn = this.#options.onDraw && !at.isBeside && this.#rows[at.row].editable;
		let cursor = isDrawn ? "crosshair" : "";
		if (at.index >= 0) cursor = "pointer";
		if (this.#drag ? this.#drag.mode === "edge" : at.edge) cursor = "ew-resize";
		if (this.#drag?.isMoved && this.#drag.mode === "pan") cursor = "grabbing";
		this.canvas.style.cursor = cursor;
	}

	#showTip(at) {
		const {tip} = this;
		const ghost = this.#drag?.ghost;
		const what = this.#drag?.edge ?? at;
		tip.hidden = !ghost && !this.#segment(what);
		if (tip.hidden) return;
		tip.textContent = ghost ? this.#period(ghost) : this.#describe(what).join("\n");
		const last = Math.max(this.#scale.width - tip.offsetWidth, 0);
		tip.style.left = `${TimelineTools.clamp(at.across + 12, 0, last)}px`;
		tip.style.top = `${at.down + 18}px`;
	}

	#zoomIn(event) {
		const whole = {start: 0, stop: this.#scale.duration};
		const {start, stop} = this.#segment(this.#under(event)) ?? whole;
		this.zoom(2 * start - stop, 2 * stop - start);
	}

	#turn(event) {
		if (event.ctrlKey) this.zoomBy(1.003 ** event.deltaY, this.#under(event).time);
		else if (event.deltaX) this.pan(event.deltaX / this.#scale.width);
		else return;
		event.preventDefault();
	}

	#grabOverview(event) {
		if (event.button) return;
		this.overview.setPointerCapture(event.pointerId);
		const time = this.#overviewTime(event);
		const {from, to, span} = this.#scale;
		const isInside = time >= from && time <= to;
		this.grip = isInside ? time - from : span / 2; // beside the frame: its middle comes here
		this.#moveOverview(event);
	}

	#moveOverview(event) {
		if (!this.overview.hasPointerCapture(event.pointerId)) return;
		const start = this.#overviewTime(event) - this.grip;
		this.zoom(start, start + this.#scale.span);
	}

	#overviewTime({clientX}) {
		const {left, width} = this.overview.getBoundingClientRect();
		return (clientX - left) / width * this.#scale.duration;
	}

	// --- keys -----------------------------------------------------------------------------------------------------

	#moves = {
		ArrowLeft: (isShift) => isShift ? this.pan(-0.25) : this.step(-1),
		ArrowRight: (isShift) => isShift ? this.pan(0.25) : this.step(1),
		ArrowUp: () => this.step(0, -1),
		ArrowDown: () => this.step(0, 1),
		"+": () => this.zoomBy(0.5),
		"-": () => this.zoomBy(2),
		0: () => this.zoom(0, this.#scale.duration),
	};

	#ends = { // for the timeline itself: elsewhere these keys scroll the page, or move a slider
		Home: () => this.seek(0),
		End: () => this.seek(this.#scale.duration),
	};

	#commands = {
		" ": () => this.play(),
		l: () => this.loop(),
		L: () => this.loop(),
		"[": () => this.speed(0.5),
		"]": () => this.speed(2),
		",": () => this.nudge("start", -1),
		".": () => this.nudge("start", 1),
		"<": () => this.nudge("stop", -1),
		">": () => this.nudge("stop", 1),
		Escape: () => this.select(-1, -1),
	};

	press(key, isShift) {
		const run = this.#moves[key] ?? (this.#options.keys ? this.#commands[key] : undefined);
		run?.(isShift);
		return Boolean(run);
	}

	#type(event) {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.key === "Escape" && this.cancelDrag()) return;
		if (this.#ends[event.key]) this.#ends[event.key]();
		else if (!this.press(event.key, event.shiftKey)) return;
		event.preventDefault();
	}
}

globalThis.Timeline = Timeline;
