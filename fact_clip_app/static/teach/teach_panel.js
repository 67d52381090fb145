/* The panel where models are trained and chosen. */

import {html, useState} from "../vendor/preact-htm.js";
import {asPairs, Check, NumberField, Scroll, Select, waitingLine} from "../common/controls.js";
import {question} from "../common/dialogs.js";
import {changeSettings, refresh} from "../common/project.js";
import {ask, download, tried} from "../common/requests.js";
import {currentTrack, fault, state} from "../common/state.js";
import {Curve, Examples} from "./lessons.js";
import {isBusy, NextStep} from "./next_step.js";

export function TeachPanel() {
	const {video} = state;
	return html`<main id="teach-panel" class="page" tabindex="-1">
		${state.project.videos.length > 0 && html`<${NextStep} />`}
		<section aria-labelledby="train-title">
			<h2 id="train-title">Train on your labels</h2>
			<p class="hint">A model learns your classes from labelled videos, makes drafts for the other videos, and is tested on
				labelled videos that are set aside.</p>
			${video ? html`<${Train} />` : html`<p class="hint">Open a video first.</p>`}
		</section>
		<${Examples} />
		<${Models} />
		<${Settings} />
	</main>`;
}

// --- training ----------------------------------------------------------------------------------

function Train() {
	const {project, video} = state;
	const job = project.training;
	const [minutes, setMinutes] = useState(5);
	const [chosenName, setTrackName] = useState(currentTrack().name);
	const names = [...new Set(video.tracks.map(({name}) => name))];
	const trackName = names.includes(chosenName) ? chosenName : names[0]; // the track may have been renamed
	const [usesHelpers, setUsesHelpers] = useState(false);
	const count = project.videos.filter(({progress}) => progress === "unlabelled").length;
	const train = (teach) => tried(async () => {
		const unlabelled = await askUnlabelled(trackName, true);
		if (!unlabelled) return;
		const helpers = usesHelpers && count > 0 && !teach;
		await ask("/api/train", "POST", {minutes, track: trackName, teach, helpers, unlabelled, annotator: state.annotator});
		await refresh();
	});
	const save = () => tried(async () => {
		const answers = await askUnlabelled(trackName, false);
		if (answers) await download(`/api/export/training?${new URLSearchParams({track: trackName, ...answers, annotator: state.annotator})}`);
	});
	const cancel = () => tried(async () => {
		await ask("/api/train", "DELETE");
		await refresh();
	});
	return html`
		<div class="bar">
			<button type="button" class="main" id="train" disabled=${isBusy(job)} onClick=${() => train(false)}>Train a new model</button>
			<button type="button" id="teach" hidden=${!project.model.can_learn} disabled=${isBusy(job)} onClick=${() => train(true)}>
				Continue training</button>
			<${NumberField} label="Minutes" id="minutes" min="0.1" max="1440" step="any" value=${minutes} onInput=${setMinutes} />
			<${Select} label="Labels of track" id="train-track" value=${trackName} options=${asPairs(names)} onChange=${setTrackName} />
			${count > 0 && html`<span title="A first model labels them, and the new model learns from your labels and from these labels">
				<${Check} id="helpers" label=${`${count} unlabelled video${count === 1 ? " helps" : "s help"} a new model`} checked=${usesHelpers}
					onChange=${setUsesHelpers} /></span>`}
		</div>
		<div class="bar" hidden=${!isBusy(job)}>
			<span>Training</span> <progress id="training" aria-label="Training" max=${Math.max(job?.total ?? 1, 1)} value=${job?.done ?? 0}></progress>
			<button type="button" id="cancel" onClick=${cancel}>Cancel the training</button>
		</div>
		<p id="training-note" role="status" class=${job?.state === "failed" ? "fault" : ""}>${lineOf(job)}</p>
		<div class="bar"><button type="button" id="download-training" onClick=${save}>Download training data</button></div>`;
}

function lineOf(job) {
	if (!job) return "";
	const lines = {waiting: waitingLine(job), running: job.note, done: `Trained. ${job.note}`, failed: job.error};
	return lines[job.state];
}

const UNLABELLED = {
	"": "choose …",
	background: "background (nothing happens there)",
	ignore: "not labelled yet",
	skip: "leave this video out",
};

/** Ask what the unlabelled parts of videos are, for each video or for all together. Return null if the person cancels. */
export async function askUnlabelled(track, isEach) {
	const {videos, points} = await ask(`/api/train?${new URLSearchParams({track, annotator: state.annotator})}`);
	const noun = `point event${points === 1 ? "" : "s"}`;
	if (points) fault(`${points} ${noun} in videos with segments will not be used for training. To use them, put them on a separate track.`);
	if (!videos.length) return {};
	const lines = videos.map(({name, labelled_to: to, duration}) => {
		return `${name} is labelled to ${to.toFixed(0)} s of ${duration.toFixed(0)} s.`;
	});
	const choice = (name, line) => html`<p><label>${line} <select name=${name} required>
		${Object.entries(UNLABELLED).map(([value, title]) => html`<option value=${value}>${title}</option>`)}</select></label></p>`;
	const fields = isEach
		? videos.map(({id}, index) => choice(id, `${lines[index]} The rest is`))
		: html`${lines.map((line) => html`<p>${line}</p>`)}${choice("unlabelled", "The rest of each is")}`;
	const content = "These videos are not fully labelled. What are their unlabelled parts?";
	return question(content, "Continue", html`<div id="unlabelled">${fields}</div>`);
}

// --- models ------------------------------------------------------------------------------------

const right = (figures) => figures ? `${figures.right.toFixed(1)} %` : "–";
const met = (figures) => figures ? `${figures.found} of ${figures.segments}` : "–";

function Models() {
	const {model, runs} = state.project;
	const names = Object.keys(runs);
	if (!model.exists && !names.length) return html`<p class="hint" id="no-model">There is no model yet.</p>`;
	return html`<section aria-labelledby="models-title">
		<h2 id="models-title">Models</h2>
		<${Select} label="In use" id="model" value=${model.chosen} options=${model.models.map((name) => [name, name || model.title])}
			onChange=${(name) => tried(() => changeSettings({model: name}))} />
		<${Curve} runs=${runs} />
		<${Scroll} label="Models"><table id="models-table" hidden=${!names.length}>
			<caption>On labelled videos that were set aside, before and after training</caption>
			<thead><tr>
				<th scope="col">Model</th>
				<th scope="col">Time right: before</th><th scope="col">after</th>
				<th scope="col">Segments met: before</th><th scope="col">after</th>
			</tr></thead>
			<tbody>${names.map((name) => html`<${ModelRow} key=${name} name=${name} figures=${runs[name]} />`)}</tbody>
		</table><//>
	</section>`;
}

function ModelRow({name, figures}) {
	const {before, after} = figures;
	return html`<tr>
		<th scope="row">${name}</th>
		<td>${right(before)}</td><td>${right(after)}</td>
		<td>${met(before)}</td><td>${met(after)}</td>
	</tr>`;
}

let sliding;

function Settings() {
	const {project} = state;
	const [moved, setMoved] = useState({}); // values that are not stored yet
	if (!project.model.exists) return null;
	const slide = (name, value) => {
		const isOff = project.sliders[name].off && value === 0;
		const values = {...moved, [name]: isOff ? null : value};
		setMoved(values);
		clearTimeout(sliding);
		sliding = setTimeout(() => tried(async () => {
			await changeSettings({adjust: {...project.adjust, ...values}});
			setMoved({});
		}), 150);
	};
	const valueOf = (name) => name in moved ? moved[name] : project.adjust[name];
	return html`<details id="advanced">
		<summary>Advanced: prediction settings</summary>
		<div id="settings">${project.adjustable.map((name) => {
			const {label, min, max, step} = project.sliders[name];
			const value = valueOf(name);
			return html`<div key=${name}>
				<label for=${`set-${name}`}>${label}</label><output>${value ?? "model default"}</output>
				<input type="range" id=${`set-${name}`} min=${min} max=${max} step=${step}
					value=${value ?? project.defaults[name] ?? 0} onInput=${(event) => slide(name, Number(event.target.value))} />
			</div>`;
		})}</div>
		<button type="button" id="reset" onClick=${() => tried(() => changeSettings({adjust: {}}))}>Reset to model defaults</button>
	</details>`;
}
