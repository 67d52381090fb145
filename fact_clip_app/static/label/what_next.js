/* The list of What next: the least certain drafts of the project. */

import {follow} from "../common/project.js";
import {ask, tried, viewQuery} from "../common/requests.js";
import {state, update} from "../common/state.js";

const DELAY = 1000; // milliseconds without a change, after which the list is fetched

let timer;

/** Fetch the list once no change has come for a while. */
export function listUncertainSoon() {
	clearTimeout(timer);
	timer = setTimeout(() => tried(listUncertain), DELAY);
}

export async function listUncertain() {
	if (!state.project.model.exists) return update({uncertain: []});
	const {segments} = await ask(`/api/clips${viewQuery()}&order=least+sure`);
	update({uncertain: segments});
}

follow(listUncertainSoon);
