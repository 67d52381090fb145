/* Files that are dropped or chosen: videos, feature files, label files. */

import {html} from "../vendor/preact-htm.js";
import {FileButton} from "../common/controls.js";
import {confirm} from "../common/dialogs.js";
import {loadLabels, stemOf} from "../common/label_files.js";
import {refresh} from "../common/project.js";
import {ask, Refused, upload} from "../common/requests.js";
import {fault, state} from "../common/state.js";
import {open} from "./open_video.js";

const MEDIA = /\.(npy|mp4|m4v|mov|mkv|webm|avi|mpg|mpeg|ts|mts|wmv|flv|ogv|3gp)$/i;
const BEHIND = /^(DLC|[^\p{L}\p{N}]|$)/u; // what may follow the name of a video in the name of its tracked points

/** A place for files in the style of the page. */
export function DropZone({id, title, hint = "", isLarge = false, children}) {
	return html`<div class=${isLarge ? "drop large" : "drop"}>
		${hint && html`<p>${hint}</p>`}
		<${FileButton} id=${id} title=${title} onFiles=${take} />
		${children}
	</div>`;
}

/** Let files be dropped anywhere on the page. */
export function acceptDrops() {
	for (const name of ["dragover", "dragleave", "drop"]) {
		document.addEventListener(name, (event) => {
			event.preventDefault();
			document.body.classList.toggle("is-over", name === "dragover");
			if (name === "drop" && event.dataTransfer.files.length) take([...event.dataTransfer.files]);
		});
	}
}

/** Return whether a file has the points of a pose tracker, as DeepLabCut and Lightning Pose write them. */
async function isPose(file) {
	return /\.csv$/i.test(file.name) && (await file.slice(0, 7).text()) === "scorer,";
}

/** Add files to the project. Features, their .json and their video have the same name. The file of a pose tracker begins with it. */
export async function take(files) {
	const stems = new Set(files.filter(({name}) => /\.npy$/i.test(name)).map(stemOf));
	const groups = new Map();
	const labels = [];
	const films = files.filter(({name}) => MEDIA.test(name)).map(stemOf).sort((a, b) => b.length - a.length);
	for (const file of files) {
		if (await isPose(file)) {
			const whole = stemOf(file);
			const stem = films.find((film) => whole.startsWith(film) && BEHIND.test(whole.slice(film.length))) ?? whole;
			groups.set(stem, [...groups.get(stem) ?? [], file]);
			continue;
		}
		const isBeside = /\.json$/i.test(file.name) && stems.has(stemOf(file));
		const belongs = MEDIA.test(file.name) || isBeside && !await hasLabels(file);
		if (belongs) groups.set(stemOf(file), [...groups.get(stemOf(file)) ?? [], file]);
		else labels.push(file);
	}
	const faults = [];
	const collect = async (work) => {
		try {
			await work();
		} catch (error) {
			if (!(error instanceof Refused)) throw error;
			faults.push(error.message);
		}
	};
	for (const [stem, group] of groups) await collect(() => addVideo(stem, group));
	for (const file of labels) await collect(() => loadLabels(file));
	if (faults.length) fault(faults.join(" — "));
}

/** Return whether a JSON file next to features contains labels, and not the facts of the features. */
async function hasLabels(file) {
	return /"segments"\s*:/.test(await file.text());
}

async function addVideo(stem, group) {
	if (state.project.videos.some(({name}) => name === stem)) {
		const text = `There is a video "${stem}" in this project already. Add it a second time?`;
		if (!await confirm(text, "Add it again")) return;
	}
	const keys = [];
	for (const file of group) keys.push(await upload(file));
	const {video} = await ask("/api/videos", "POST", {files: keys});
	await refresh();
	if (!state.video) await open(video);
}
