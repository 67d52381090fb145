/* Label files that are loaded onto tracks. */

import {html, useEffect, useState} from "../vendor/preact-htm.js";
import {Select} from "./controls.js";
import {confirm, question} from "./dialogs.js";
import {afterEdits, showLater} from "./edits.js";
import {refresh} from "./project.js";
import {ask, Refused, upload, videoPath, viewQuery} from "./requests.js";
import {BROWSER, fault, say, state} from "./state.js";

/** Return the name of a file without its ending. */
export const stemOf = (file) => file.name.replace(/\.[^.]*$/, "");

/** Load a label file into a track of a video. The person chooses the video and the track if they are not clear. */
export async function loadLabels(file, id = null) {
	const {videos} = state.project;
	if (!videos.length) throw new Refused(`${file.name}: add its video first`, 0);
	const fitting = id ? [id] : videos.filter(({name}) => file.name.startsWith(`${name}.`)).map((video) => video.id);
	const key = await upload(file);
	const target = await targetOf(file, key, fitting.length === 1 ? fitting[0] : null);
	if (!target) return;
	await new Promise(afterEdits);
	await store(file, key, target);
}

/** Return where a file goes: {video, track, name, annotator}, or null if the person cancels. */
async function targetOf(file, key, fitting) {
	if (fitting) {
		const video = await ask(videoPath(fitting, viewQuery()));
		const look = await lookAt(key, video.id);
		const isFree = video.tracks.length === 1 && !video.tracks[0].segments.length;
		if (isFree && Object.keys(look.tracks).length === 1) {
			return {video: video.id, track: video.tracks[0].id, name: null, annotator: state.annotator};
		}
	}
	const first = fitting ?? state.video?.id ?? state.project.videos[0].id;
	const fields = html`<${LoadFields} file=${file} upload=${key} first=${first} isFitting=${Boolean(fitting)} />`;
	const answer = await question(`Where do the labels of "${file.name}" go?`, "Load", fields);
	if (!answer) return null;
	const [kind, track] = answer.target.split(" ");
	return {
		video: answer.video,
		track: kind === "track" ? Number(track) : null,
		name: kind === "new" ? answer.name : null,
		annotator: answer.annotator,
	};
}

function lookAt(key, video) {
	const body = {file: key, track: null, name: null, dry: true, rough: state.isRough, annotator: state.annotator, browser: BROWSER};
	return ask(videoPath(video, "/labels"), "POST", body);
}

function LoadFields({file, upload: key, first, isFitting}) {
	const [id, setId] = useState(first);
	const [video, setVideo] = useState(null);
	const [look, setLook] = useState({tracks: {}, classes: [], warnings: []});
	const [problem, setProblem] = useState("");
	const [target, setTarget] = useState("");
	useEffect(() => {
		const fetchBoth = async () => {
			setVideo(await ask(videoPath(id, viewQuery())));
			setLook(await lookAt(key, id));
			setProblem("");
		};
		fetchBoth().catch((error) => setProblem(error.message));
	}, [id]);
	const tiers = Object.keys(look.tracks);
	const isSeveral = tiers.length > 1;
	const counts = tiers.map((tier) => `${tier} (${look.tracks[tier]})`).join(", ");
	const stem = stemOf(file);
	const current = state.video?.id === id ? state.trackId : video?.tracks[0]?.id;
	const shown = target || (isSeveral ? "tiers" : `track ${current}`);
	const videos = state.project.videos.map((one) => [one.id, one.name]);
	const tracks = (video?.tracks ?? []).map((track) => {
		const count = track.segments.length;
		return [`track ${track.id}`, count ? `${track.name}: replace its ${count} segments` : track.name];
	});
	const choose = (value) => {
		setId(value);
		setTarget(""); // the tracks belong to a different video
	};
	const targets = [...isSeveral ? [["tiers", `the tracks of the file: ${counts}`]] : tracks, ["new", "a new track"]];
	return html`
		${!isFitting && html`<p class="hint">No video, or more than one, has the name of this file.</p>`}
		<p><${Select} label="Video" name="video" id="load-video" value=${id} options=${videos} onChange=${choose} /></p>
		<p><${Select} label="Track" name="target" id="load-target" value=${shown} options=${targets} onChange=${setTarget} /></p>
		<p hidden=${shown !== "new"}><label>Name of the new track
			<input name="name" id="load-name" maxlength="200" defaultValue=${stem} /></label></p>
		<p><label>Labelled by <input name="annotator" maxlength="80" defaultValue=${state.annotator}
			readonly=${state.project.project.blind} /></label></p>
		<p class="hint" hidden=${!look.classes.length}>New classes: ${look.classes.join(", ")}.</p>
		<p class="fault" id="load-warnings" hidden=${!look.warnings.length}>${look.warnings.join("\n")}</p>
		<p class="fault" role="alert">${problem}</p>`;
}

/** Store a label file. The person confirms that labels are replaced. */
async function store(file, key, {video, track, name, annotator}) {
	const body = {file: key, track, name, annotator, browser: BROWSER, replace: false, rough: state.isRough};
	let answer;
	try {
		answer = await ask(videoPath(video, "/labels"), "POST", body);
	} catch (error) {
		if (error.status !== 409 || !error.answer.replaces) throw error;
		const lines = Object.entries(error.answer.replaces).map(([title, count]) => `${count} on "${title}"`);
		if (!await confirm(`Replace labels: ${lines.join(", ")}? You can undo it.`, "Replace")) return;
		answer = await ask(videoPath(video, "/labels"), "POST", {...body, replace: true});
	}
	showLater(answer);
	await refresh();
	const counts = Object.entries(answer.imported).map(([title, count]) => `${count} on track ${title}`);
	const line = `${file.name}: ${counts.join(", ")}.`;
	if (answer.warnings.length) fault([line, ...answer.warnings].join(" ")); // it stays until it is read
	else say(line);
}
