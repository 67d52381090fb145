/* The project, kept equal to what the server has. */

import {ask, tried, viewQuery} from "./requests.js";
import {BROWSER, say, state, update} from "./state.js";
import {become, sync} from "./sync.js";

/** Fetch the state of the project. */
export async function refresh() {
	accept(await ask(`/api/state${viewQuery()}`));
}

/** Show a state of the project. `renamed` has classes that this browser has renamed or merged, by their old names. */
export function accept(project, renamed = {}) {
	const names = project.actions.map(({name}) => name);
	const nameNow = (name) => renamed[name] ?? renamedTo(name, project) ?? name;
	const {recording} = state;
	const pen = nameNow(state.pen);
	const isGone = pen && !names.includes(pen);
	if (isGone && names.length) say(`The class "${pen}" was removed. New segments get "${names[0]}".`);
	const label = recording?.label && nameNow(recording.label);
	const renamedRecording = recording && {...recording, label, pen: nameNow(recording.pen)};
	update({project, pen: isGone || !pen ? names[0] ?? "" : pen, recording: renamedRecording});
	showTitle();
}

/** Return the name that a class has now, or undefined. */
function renamedTo(name, project) {
	const id = state.project?.actions.find((action) => action.name === name)?.id;
	return project.actions.find((action) => action.id === id)?.name;
}

/** Show the names of the open video and the project as the title of the browser tab. */
export function showTitle() {
	document.title = [state.video?.name, state.project.project.name, "FACT-CLIP"].filter(Boolean).join(" – ");
}

/** Return what predictions depend on apart from the video. */
export function predictionSettings() {
	const {model, adjust, actions, background} = state.project;
	return [model.chosen, adjust, actions.map(({name}) => name), background];
}

// --- changes on the server ---------------------------------------------------------------------

const followers = [];

/** Run something each time a state of the project is shown that may differ from the last one. */
export function follow(run) {
	followers.push(run);
}

/** Fetch what has changed on the server. Changes that come meanwhile are fetched together afterwards. */
export async function catchUp() {
	if (sync.project !== "current") {
		become("project", "outdated");
		return;
	}
	try {
		do {
			become("project", "fetching");
			await tried(refresh);
			for (const run of followers) tried(run); // not awaited, because drafts may take a while
		} while (sync.project === "outdated");
	} finally {
		become("project", "current");
	}
}

// --- changes by this page ----------------------------------------------------------------------

let lastChange = Promise.resolve(); // changes of classes wait for each other

/** Change classes after earlier changes of classes. The answer is the state of the project. */
export function changeActions(body, renamed = {}) {
	const change = () => send("/api/actions", body, renamed);
	lastChange = lastChange.then(change, change);
	return lastChange;
}

export function changeSettings(body) {
	return send("/api/settings", body);
}

/** Change the project, and show its state and what depends on it. */
async function send(path, body, renamed = {}) {
	accept(await ask(path, "POST", {...body, browser: BROWSER, annotator: state.annotator}), renamed);
	await Promise.all(followers.map((run) => run()));
}
