/* Requests to the server, uploads and downloads. */

import {BROWSER, say, fault, state, update} from "./state.js";

const PATIENCE = 2000; // milliseconds before a request to a busy server is repeated
const MAX_TURNS = 30;

/** An answer that reports a failure. `answer` holds its JSON. */
export class Refused extends Error {
	constructor(message, status, answer = {}) {
		super(message);
		this.status = status;
		this.answer = answer;
	}
}

let pending = 0;

function countPending(by) {
	pending += by;
	document.body.setAttribute("aria-busy", String(pending > 0));
}

export const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

/** Return the JSON of an answer. If the server is busy, repeat the request. Throw all other refusals. */
export async function ask(path, method = "GET", body = undefined) {
	countPending(1);
	try {
		return await patiently(() => askOnce(path, method, body));
	} finally {
		countPending(-1);
	}
}

/** Run a request again while the server is busy. */
async function patiently(run) {
	for (let turn = 0; ; turn++) {
		try {
			return await run();
		} catch (error) {
			if (error.status !== 503 || turn >= MAX_TURNS) throw error;
			say(error.message);
		}
		await pause(PATIENCE);
	}
}

async function askOnce(path, method, body) {
	const options = {method};
	if (body !== undefined) {
		options.body = JSON.stringify(body);
		options.headers = {"content-type": "application/json"};
	}
	let response;
	try {
		response = await fetch(path, options);
	} catch {
		throw new Refused("The server does not answer.", 0);
	}
	const answer = await jsonOf(response);
	if (response.ok) return answer;
	throw new Refused(answer.error ?? `error ${response.status}`, response.status, answer);
}

async function jsonOf(response) {
	try {
		return await response.json();
	} catch {
		return {};
	}
}

/** Run something, and show a refusal as a message. */
export async function tried(work) {
	try {
		return await work();
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		fault(error.message);
	}
}

/** Return the address of a video's answers. The next step of undo depends on the browser. */
export function videoPath(id, rest = "") {
	return `/api/videos/${encodeURIComponent(id)}${rest}`;
}

export function viewQuery() {
	return `?${new URLSearchParams({browser: BROWSER, annotator: state.annotator})}`;
}

// --- uploads and downloads ---------------------------------------------------------------------

/** Send a file and return its key. */
export async function upload(file) {
	try {
		return (await patiently(() => uploadOnce(file))).file;
	} finally {
		update({progress: ""});
	}
}

// XMLHttpRequest, because fetch does not report how much is sent.
function uploadOnce(file) {
	return new Promise((resolve, reject) => {
		const request = new XMLHttpRequest();
		request.open("POST", `/api/files?name=${encodeURIComponent(file.name)}`);
		request.responseType = "json";
		request.upload.onprogress = ({loaded, total}) => {
			update({progress: `${file.name}: ${Math.round(100 * loaded / total)} % sent`});
		};
		request.onerror = () => reject(new Refused(`${file.name}: not sent`, 0));
		request.onload = () => {
			const answer = request.response ?? {};
			if (request.status === 200) resolve(answer);
			else reject(new Refused(answer.error ?? `${file.name}: error ${request.status}`, request.status));
		};
		request.send(file);
	});
}

/** Save an answer as a file. */
export async function download(path) {
	const response = await fetch(path);
	if (!response.ok) {
		const answer = await jsonOf(response);
		throw new Refused(answer.error ?? `error ${response.status}`, response.status, answer);
	}
	const disposition = response.headers.get("content-disposition") ?? "";
	const match = /filename\*=utf-8''([^;]+)|filename="([^"]+)"/i.exec(disposition);
	const name = match ? decodeURIComponent(match[1] ?? match[2]) : path.split("/").at(-1).split("?")[0];
	const link = document.createElement("a");
	link.href = URL.createObjectURL(await response.blob());
	link.download = name;
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
	const warnings = decodeURIComponent(response.headers.get("x-warnings") ?? "");
	if (warnings) fault(`${name} was downloaded. ${warnings}`); // it stays until it is read
	else say(`${name} was downloaded.`);
}

// --- events ------------------------------------------------------------------------------------

/** Run something whenever the server reports a change. */
export function listen(run) {
	const source = new EventSource("/api/events");
	source.addEventListener("change", (event) => {
		if (!state.isConnected) update({isConnected: true});
		run(JSON.parse(event.data).stamp);
	});
	source.onerror = () => update({isConnected: false});
}
