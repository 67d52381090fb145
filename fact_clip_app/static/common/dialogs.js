/* Questions in a dialog, and messages that come and go. */

import {html, useEffect, useRef} from "../vendor/preact-htm.js";
import {state, update} from "./state.js";

let answered = Promise.resolve(); // questions wait for each other

/** Ask a question. `fields` is what the dialog shows below the text. The answer is the data of its form, or null. */
export function question(content, yes, fields = null) {
	const ask = () => new Promise((resolve) => {
		const answer = (values) => {
			update({question: null});
			resolve(values);
		};
		update({question: {content, yes, fields, answer}});
	});
	answered = answered.then(ask);
	return answered;
}

/** Ask whether to do something. */
export async function confirm(content, yes) {
	return await question(content, yes) !== null;
}

export function Question() {
	const {question: open} = state;
	const dialog = useRef(null);
	useEffect(() => {
		if (open && !dialog.current.open) dialog.current.showModal();
	}, [open]);
	if (!open) return null;
	const submit = (event) => {
		event.preventDefault();
		open.answer(Object.fromEntries(new FormData(event.target)));
	};
	return html`<dialog id="ask" ref=${dialog} aria-labelledby="ask-text" onCancel=${() => open.answer(null)}>
		<form onSubmit=${submit}>
			<p id="ask-text">${open.content}</p>
			${open.fields}
			<div class="bar end">
				<button type="button" onClick=${() => open.answer(null)}>Cancel</button>
				<button class="main" id="ask-yes" autofocus=${!open.fields}>${open.yes}</button>
			</div>
		</form>
	</dialog>`;
}

/** A message that lies over the page, so that nothing moves. */
export function Toast() {
	const {toast} = state;
	const close = () => update({toast: null});
	const run = () => {
		close();
		toast.button.run();
	};
	return html`<div id="toast" class=${toast?.isFault ? "is-fault" : ""} hidden=${!toast}
		role=${toast?.isFault ? "alert" : "status"}>
		<span id="toast-text">${toast?.text}</span>
		${toast?.button && html`<button type="button" id="toast-button" onClick=${run}>${toast.button.title}</button>`}
		<button type="button" id="dismiss" onClick=${close}>Dismiss</button>
	</div>`;
}
