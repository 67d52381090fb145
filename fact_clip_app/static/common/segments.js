/* Labels of a track as a list in order of time, and changes of it. No function changes a list or a label that it gets.

label    {start, stop, label, origin, comment, annotator}; its own `label` is the name of its class; `origin` is "drawn",
         "imported", "predicted" (an accepted draft), "corrected" (a draft that a person has changed) or "grouped" (a stretch
         that was labelled with its group)
point    a point event: a label with start === stop. Points are a layer above the segments of a track, so neither cuts the
         other. A frame has at most one point.
segment  a label or a draft with a duration. Segments of one track do not overlap.
draft    a predicted segment that nobody has accepted, {start, stop, label, confidence}
part     what a track shows: a label, or the piece of a draft between segments; its `kind` is "label", "accepted" or "draft"
change   {removed, added}: two lists of labels. `applied` makes a list with it; the server stores the same change.

Times are frame boundaries, except in the last functions, which convert seconds. */

export const isInstant = ({start, stop}) => start === stop;

/** Return whether a label covers a frame. A point covers the frame that starts at it. */
export const covers = ({start, stop}, frame) => start <= frame && (frame < stop || start === frame);

// --- what a track shows ------------------------------------------------------------------------

/** Return the parts of a track: its labels, and what its segments leave of the drafts. Both lists are in order of time. */
export function overlay(labels, drafts) {
	const parts = labels.map((label) => ({...label, kind: kindOf(label)}));
	const spans = labels.filter((label) => !isInstant(label));
	let begin = 0; // of the gap before `label`, which goes to `end`
	let next = 0; // all drafts before this index end before the gap
	for (const label of [...spans, null]) { // null: the gap after the last segment
		const end = label === null ? Infinity : label.start;
		while (next < drafts.length && drafts[next].stop <= begin) next += 1;
		for (let place = next; place < drafts.length && drafts[place].start < end; place++) {
			const draft = drafts[place];
			const start = Math.max(draft.start, begin);
			const stop = Math.min(draft.stop, end);
			if (start < stop) parts.push({...draft, start, stop, kind: "draft"});
		}
		if (label !== null) begin = Math.max(begin, label.stop);
	}
	return parts.sort(byTime);
}

function kindOf({origin}) {
	return origin === "predicted" ? "accepted" : "label";
}

export const byTime = (one, other) => one.start - other.start || one.stop - other.stop;

// --- changes -----------------------------------------------------------------------------------

/** Return the labels after a change. */
export function applied(labels, {removed, added}) {
	const gone = new Set(removed.map(identity));
	return [...labels.filter((label) => !gone.has(identity(label))), ...added].sort(byTime);
}

/** Return a string that two labels share if they agree in all fields that are stored. Labels have no number. */
export function identity({start, stop, label, origin, comment, annotator}) {
	return JSON.stringify([start, stop, label, origin, comment, annotator]);
}

/** Return whether a list has all labels that a change removes. */
export function fits(labels, {removed}) {
	const present = new Set(labels.map(identity));
	return removed.every((label) => present.has(identity(label)));
}

/** Return a part as a label that can be stored: without its `kind` and its confidence. */
export function plain({start, stop, label, origin = "drawn", comment = "", annotator = ""}) {
	return {start, stop, label, origin, comment, annotator};
}

/** Return the change that puts a label on a track: a segment cuts the segments that it covers, and a point replaces the
    point at its frame. */
export function put(labels, label) {
	const removed = [];
	const added = [plain(label)];
	for (const below of labels) {
		if (!overlaps(below, label)) continue;
		removed.push(plain(below));
		added.push(...remnants(below, label));
	}
	return {removed, added: added.sort(byTime)};
}

/** Return whether two labels cannot lie on one track: two segments that overlap, or two points at one frame. */
function overlaps(one, other) {
	if (isInstant(one) || isInstant(other)) return one.start === other.start && one.stop === other.stop;
	return one.start < other.stop && other.start < one.stop;
}

/** Return what is left of a label on both sides of a different one: none, one or two labels, and none of a point.
    The comment stays with the first. */
function remnants(below, label) {
	const pieces = [];
	if (isInstant(below)) return pieces;
	if (below.start < label.start) pieces.push(byHand(below, {stop: label.start}));
	if (label.stop < below.stop) {
		const comment = pieces.length ? "" : below.comment;
		pieces.push(byHand(below, {start: label.stop, comment}));
	}
	return pieces;
}

/** Return a part as a label with values that a person gave it. An accepted draft becomes a corrected one, and a label
    that was made with its group becomes a drawn one. */
function byHand(part, values) {
	const isPredicted = part.kind === "draft" || part.origin === "predicted";
	const origin = part.origin === "grouped" ? "drawn" : part.origin;
	return plain({...part, origin: isPredicted ? "corrected" : origin, ...values});
}

/** Return the change that moves the edges of a part to `start` and `stop`, and gives it other values.
 *
 * If one edge moves, a neighbour that shares the edge moves along. All other segments under the part are cut. */
export function moveEdges(labels, part, start, stop, values = {}) {
	const removed = removal(part);
	const added = [byHand(part, {...values, start, stop})];
	const bothEdgesMove = start !== part.start && stop !== part.stop;
	for (const label of labels) {
		if (removed.some((gone) => identity(gone) === identity(label))) continue; // the part itself
		const mayShareEdge = !bothEdgesMove && !isInstant(part) && !isInstant(label); // a point shares no edge
		const isLeft = mayShareEdge && label.stop === part.start && label.start < start;
		const isRight = mayShareEdge && label.start === part.stop && stop < label.stop;
		if (isLeft && start !== part.start) { // the end of the left neighbour moves along
			removed.push(plain(label));
			added.push(byHand(label, {stop: start}));
		} else if (isRight && stop !== part.stop) { // the start of the right neighbour moves along
			removed.push(plain(label));
			added.push(byHand(label, {start: stop}));
		} else if (overlaps(label, {start, stop})) {
			removed.push(plain(label));
			added.push(...remnants(label, {start, stop}));
		}
	}
	return {removed, added: added.sort(byTime)};
}

/** Return the labels that a change of a part removes: none for a draft, which is not stored. */
const removal = (part) => part.kind === "draft" ? [] : [plain(part)];

/** Return the change that gives a part a different class or comment. */
export function change(part, values) {
	return {removed: removal(part), added: [byHand(part, values)]};
}

/** Return the change that cuts a part in two at a boundary. The comment stays with the first half. */
export function split(part, frame) {
	const left = byHand(part, {stop: frame});
	const right = byHand(part, {start: frame, comment: ""});
	return {removed: removal(part), added: [left, right]};
}

/** Return the change that joins two parts that touch to one label of the class of the first. */
export function merge(part, other) {
	const comment = [part.comment, other.comment].filter(Boolean).join(" ");
	const joined = {start: Math.min(part.start, other.start), stop: Math.max(part.stop, other.stop), comment};
	return {removed: [...removal(part), ...removal(other)], added: [byHand(part, joined)]};
}

/** Return the change that removes a label. A draft cannot be removed: its change is empty. */
export function remove(part) {
	return {removed: removal(part), added: []};
}

/** Return the change that accepts drafts as they are. */
export function accept(drafts) {
	return {removed: [], added: drafts.map((draft) => plain({...draft, origin: "predicted"}))};
}

// --- times -------------------------------------------------------------------------------------

/** Return the boundary between frames that is nearest to a time in seconds. If two are equally near, it is the later one.
 *
 * `times` are the seconds at which the frames start, and the end of the last one. */
export function boundaryAt(times, seconds) {
	let low = 0;
	let high = times.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (times[middle] < seconds) low = middle + 1;
		else high = middle;
	}
	// now times[low] is the first time that is not before `seconds`, or the last one
	const isPreviousNearer = low > 0 && seconds - times[low - 1] < times[low] - seconds;
	return isPreviousNearer ? low - 1 : low;
}

/** Return the frame that is shown at a time in seconds. At the end of the video, this is the number of frames. */
export function frameUnder(times, seconds) {
	const nearest = boundaryAt(times, seconds);
	return nearest > 0 && times[nearest] > seconds ? nearest - 1 : nearest;
}

/** Return the seconds of "63.4", "1:03.4" or "1:01:03"; NaN for anything else. */
export function typedSeconds(content) {
	const parts = content.trim().replace(",", ".").split(":");
	const isClock = parts.every((part, place) => {
		const isLast = place === parts.length - 1;
		return (isLast ? /^\d+(\.\d*)?$/ : /^\d+$/).test(part);
	});
	if (!isClock || parts.length > 3) return NaN;
	return parts.reduce((seconds, part) => 60 * seconds + Number(part), 0);
}

/** Return a time as it is typed: "3.400" or "1:03.400". */
export function clock(seconds, digits = 3) {
	return globalThis.Timeline.clock(seconds, digits);
}
