/* Groups of unlabelled stretches as lists. No function changes a list that it gets.

group  {id, stretches, isOff}; `isOff` tells for each stretch whether it is unchecked. Stretches that follow each other are alike:
       the `distance` of a stretch to the one before it tells how little. */

import {clock} from "../common/segments.js";

let lastId = 0;

export function asGroup(stretches, isOff = stretches.map(() => false)) {
	lastId += 1;
	return {id: lastId, stretches, isOff};
}

export const isSame = (one, other) => one.track === other.track && one.start === other.start;

/** Return the two groups into which a group falls at its largest distance. */
export function divided({stretches}) {
	const distances = stretches.slice(1).map(({distance}) => distance);
	const place = distances.indexOf(Math.max(...distances)) + 1;
	return [asGroup(stretches.slice(0, place)), asGroup(stretches.slice(place))];
}

/** Return the checked stretches of a group, and the unchecked ones, as two groups. */
export function without({stretches, isOff}) {
	const parts = [stretches.filter((_, index) => !isOff[index]), stretches.filter((_, index) => isOff[index])];
	return parts.map((part) => asGroup(part));
}

/** Return how many stretches there are, how long they are, and what usually stands around them. */
export function summaryOf(stretches) {
	const seconds = stretches.reduce((sum, one) => sum + one.seconds, 0);
	const videos = new Set(stretches.map(({video}) => video)).size;
	const count = `${stretches.length} stretch${stretches.length === 1 ? "" : "es"}, ${clock(seconds, 1)}${seconds < 60 ? " s" : ""},
		in ${videos} video${videos === 1 ? "" : "s"}.`;
	return `${count} ${usual(stretches, "last_action", "Before them")} ${usual(stretches, "next_action", "After them")}`.replace(/\s+/g, " ");
}

function usual(stretches, side, words) {
	const counts = new Map();
	for (const {[side]: name} of stretches) counts.set(name, (counts.get(name) ?? 0) + 1);
	const ranked = [...counts].sort(([, one], [, other]) => other - one).slice(0, 2);
	const names = ranked.map(([name, count]) => `${name ?? "no labelled action"} (${count})`);
	return `${words}: ${names.join(", ")}${counts.size > 2 ? ", …" : "."}`;
}
