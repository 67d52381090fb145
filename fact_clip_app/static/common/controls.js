/* Controls that several panels use. */

import {html, useEffect, useState} from "../vendor/preact-htm.js";
import {ask, tried} from "./requests.js";
import {state} from "./state.js";

/** A list to choose from. `options` has pairs of a value and a title. */
export function Select({label, options, onChange, ...more}) {
	const select = html`<select ...${more} onChange=${(event) => onChange(event.target.value)}>
		${options.map(([value, title]) => html`<option key=${value} value=${value}>${title}</option>`)}</select>`;
	return label ? html`<label>${label} ${select}</label>` : select;
}

/** A checkbox that keeps its new value until it is stored, whatever the page draws meanwhile. */
export function Check({label, checked, onChange, ...more}) {
	const [chosen, setChosen] = useState(null);
	const change = async ({target}) => {
		setChosen(target.checked);
		await onChange(target.checked);
		setChosen(null);
	};
	return html`<label><input type="checkbox" ...${more} checked=${chosen ?? checked} onChange=${change} /> ${label}</label>`;
}

/** A field that keeps what is typed until it is stored, whatever the page draws meanwhile. */
export function Field({label, value, onChange, ...more}) {
	const [typed, setTyped] = useState(null);
	const change = ({target}) => tried(async () => {
		const text = target.value;
		await onChange(text);
		setTyped((now) => now === text ? null : now); // more may have been typed meanwhile
	});
	const input = ({target}) => setTyped(target.value === value ? null : target.value);
	return html`<label>${label} <input ...${more} autocomplete="off" value=${typed ?? value}
		onInput=${input} onChange=${change} /></label>`;
}

export function NumberField({label, onInput, ...more}) {
	return html`<label>${label} <input type="number" ...${more} onInput=${(event) => onInput(Number(event.target.value))} /></label>`;
}

/** A button in the style of the page that opens the list of files. */
export function FileButton({id, title, onFiles}) {
	const change = (event) => {
		const files = [...event.target.files];
		event.target.value = "";
		onFiles(files);
	};
	return html`<label class="button" for=${id}>${title}</label>
		<input type="file" id=${id} class="unseen" multiple onChange=${change} />`;
}

/** A button with an icon. Its title describes what it does. */
export function IconButton({icon, title, ...more}) {
	return html`<button type="button" class="icon" title=${title} aria-label=${title} ...${more}><${Icon} name=${icon} /></button>`;
}

export function Icon({name}) {
	return html`<span class="symbol" aria-hidden="true" style=${{maskImage: `url(/static/vendor/icons/${name}.svg)`}}></span>`;
}

export function waitingLine(job) {
	return job.place ? `Waiting (number ${job.place} in line)` : "Waiting";
}

/** The progress or the error of a job. */
export function JobLine({job, title, name}) {
	if (!job || job.state === "done") return null;
	if (job.state === "failed") return html`<small class="fault">${job.error}</small>`;
	if (job.state === "waiting") return html`<small>${title}: ${waitingLine(job)}</small>`;
	return html`<progress max=${Math.max(job.total, 1)} value=${job.done} aria-label=${`${title} ${name}`}></progress>
		<small>${title}, ${job.done} of ${job.total || "?"} frames</small>`;
}

/** A box that scrolls, also by keys, if its content is wider or taller. */
export function Scroll({label, isTall = false, children}) {
	return html`<div class=${isTall ? "wide scroll" : "wide"} role="group" aria-label=${label} tabindex="0">${children}</div>`;
}

export const asPairs = (names) => names.map((name) => [name, name]);

/** Return an answer of the server that is fetched again whenever the project changes. */
export function useAnswer(path) {
	const [answer, setAnswer] = useState(null);
	const [problem, setProblem] = useState("");
	useEffect(() => {
		let isCurrent = true;
		ask(path).then((tree) => {
			if (!isCurrent) return;
			setAnswer(tree);
			setProblem("");
		}, (error) => isCurrent && setProblem(error.message));
		return () => {
			isCurrent = false;
		};
	}, [path, state.project.stamp]);
	return [answer, problem];
}
