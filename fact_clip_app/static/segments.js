/* Labels of a track as a list in order of time, and changes of it: {removed, added}. Times are frames. */

export const isInstant = ({start, stop}) => start === stop;

export const covers = ({start, stop}, frame) => start <= frame && (frame < stop || start === frame);

/** Return drafts between labels, and labels, in order, each with its `kind`. */
export function overlay(labels, drafts) {
	const parts = labels.map((label) => ({...label, kind: kindOf(label)}));
	let begin = 0;
	let next = 0; // drafts before it end before `begin`
	for (const label of [...labels, null]) {
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

export const byTime = (one, other) => one.start - other.start || one.stop - other.stop;

function kindOf({origin}) {
	return origin === "predicted" ? "accepted" : "label";
}

/** Return the labels after a change. */
export function applied(labels, {removed, added}) {
	const gone = new Set(removed.map(identity));
	return [...labels.filter((label) => !gone.has(identity(label))), ...added].sort(byTime);
}

export function identity({start, stop, label, origin, comment, annotator}) {
	return JSON.stringify([start, stop, label, origin, comment, annotator]);
}

/** Return whether a list has all labels that a change removes. */
export function fits(labels, {removed}) {
	const present = new Set(labels.map(identity));
	return removed.every((label) => present.has(identity(label)));
}

/** Return a label without what is only shown. */
export function plain({start, stop, label, origin = "drawn", comment = "", annotator = ""}) {
	return {start, stop, label, origin, comment, annotator};
}

/** Return a part as a label that a person has changed. */
function byHand(part, values) {
	const isPredicted = part.kind === "draft" || part.origin === "predicted";
	const origin = isPredicted ? "corrected" : part.origin;
	return plain({...part, origin, ...values});
}

const removal = (part) => part.kind === "draft" ? [] : [plain(part)];

/** Put a label over whatever is there: labels below it are cut. */
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

function overlaps(below, label) {
	if (isInstant(below) || isInstant(label)) {
		const inside = isInstant(label) ? below : label;
		const {start} = isInstant(label) ? label : below;
		return inside.start < start && start < inside.stop || below.start === label.start && below.stop === label.stop;
	}
	return below.start < label.stop && label.start < below.stop;
}

/** Return what is left of a label on both sides of another one. The comment stays with the first part. */
function remnants(below, label) {
	const parts = [];
	if (isInstant(below)) return parts;
	if (below.start < label.start) parts.push(byHand(below, {stop: label.start}));
	if (label.stop < below.stop) {
		const comment = parts.length ? "" : below.comment;
		parts.push(byHand(below, {start: label.stop, comment}));
	}
	return parts;
}

/** Move the edges of a part, and change its values. A neighbour moves along with a shared edge, unless both edges move; what lies
    under the part then is cut, and point events within it go. */
export function moveEdges(labels, part, start, stop, values = {}) {
	const removed = removal(part);
	const added = [byHand(part, {...values, start, stop})];
	const isWhole = start !== part.start && stop !== part.stop;
	for (const label of labels) {
		if (removed.some((gone) => identity(gone) === identity(label))) continue;
		const sharesEdges = !isWhole && !isInstant(part) && !isInstant(label); // no edge belongs to a point event
		const isLeft = sharesEdges && label.stop === part.start && label.start < start;
		const isRight = sharesEdges && label.start === part.stop && stop < label.stop;
		if (isLeft && start !== part.start) {
			removed.push(plain(label));
			added.push(byHand(label, {stop: start}));
		} else if (isRight && stop !== part.stop) {
			removed.push(plain(label));
			added.push(byHand(label, {start: stop}));
		} else if (overlaps(label, {start, stop})) {
			removed.push(plain(label));
			added.push(...remnants(label, {start, stop}));
		}
	}
	return {removed, added: added.sort(byTime)};
}

/** Give a part another name or comment. */
export function change(part, values) {
	return {removed: removal(part), added: [byHand(part, values)]};
}

/** Cut a part in two at a frame. */
export function split(part, frame) {
	const left = byHand(part, {stop: frame});
	const right = byHand(part, {start: frame, comment: ""});
	return {removed: removal(part), added: [left, right]};
}

/** Join two parts that touch under the name of the first one. */
export function merge(part, other) {
	const comment = [part.comment, other.comment].filter(Boolean).join(" ");
	const joined = {start: Math.min(part.start, other.start), stop: Math.max(part.stop, other.stop), comment};
	return {removed: [...removal(part), ...removal(other)], added: [byHand(part, joined)]};
}

export function remove(part) {
	return {removed: removal(part), added: []};
}

/** Accept drafts as they are. */
export function accept(drafts) {
	return {removed: [], added: drafts.map((draft) => plain({...draft, origin: "predicted"}))};
}

/** Return the boundary between frames that is nearest to a time in seconds. */
export function frameAt(times, seconds) {
	let low = 0;
	let high = times.length - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (times[middle] < seconds) low = middle + 1;
		else high = middle;
	}
	const isBefore = low > 0 && seconds - times[low - 1] < times[low] - seconds;
	return isBefore ? low - 1 : low;
}

/** Return the frame that is shown at a time. */
export function frameUnder(times, seconds) {
	const nearest = frameAt(times, seconds);
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
