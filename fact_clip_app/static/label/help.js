/* The list of keys. */

import {html, useEffect, useRef} from "../vendor/preact-htm.js";
import {state, update} from "../common/state.js";
import {COMMANDS} from "./commands.js";
import {keyOf, nameOf, resetKeys, setKey} from "./keys.js";

/** The list of keys. You change the key of a command by pressing a different key. */
export function Help() {
	const dialog = useRef(null);
	useEffect(() => {
		if (state.isHelpOpen && !dialog.current.open) dialog.current.showModal();
	}, [state.isHelpOpen]);
	if (!state.isHelpOpen) return null;
	const close = () => update({isHelpOpen: false});
	return html`<dialog id="help" ref=${dialog} aria-label="Keys" onClose=${close}>
		<h2>Keys</h2>
		<p class="hint">To change a key, click on it and press a different key. Undo is Ctrl+Z, and redo is Ctrl+Shift+Z.</p>
		<dl id="key-list">${COMMANDS.map(({id, title}) => html`<${KeyRow} key=${id} id=${id} title=${title} />`)}</dl>
		<h3>Classes</h3>
		<dl>${state.project.actions.filter(({key}) => key).map(({name, key}) => html`<dt key=${name}><kbd>${key.toUpperCase()}</kbd></dt>
			<dd>${name}</dd>`)}</dl>
		<div class="bar end">
			<button type="button" onClick=${resetKeys}>Reset keys</button>
			<button type="button" class="main" onClick=${close}>Close</button>
		</div>
	</dialog>`;
}

function KeyRow({id, title}) {
	const press = (event) => {
		if (["Tab", "Escape", "Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
		event.preventDefault();
		event.stopPropagation();
		setKey(id, event);
	};
	return html`<dt><button type="button" id=${`key-${id}`} aria-label=${`Key for: ${title}`} onKeyDown=${press}>
		<kbd>${nameOf(keyOf(id))}</kbd></button></dt><dd>${title}</dd>`;
}
