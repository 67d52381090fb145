/* The list of classes: a row each. */

import {html, useState} from "../vendor/preact-htm.js";
import {Check, Field} from "../common/controls.js";
import {confirm, question} from "../common/dialogs.js";
import {changeActions} from "../common/project.js";
import {tried} from "../common/requests.js";
import {actionCalled, chosenPart, fault, state, twinOf, update} from "../common/state.js";
import {takenBy} from "./keys.js";
import {clickClass} from "./labelling.js";

export function Classes() {
	const {actions} = state.project;
	const [opened, setOpened] = useState("");
	return html`<section id="classes" aria-labelledby="classes-title">
		<h2 id="classes-title">Classes</h2>
		<p class="hint" hidden=${!actions.length || actions.some(({count}) => count)}>Press the key of a class where its action begins, and again where it ends. If you use a mouse, click on a class: the segment that you selected and the next segment that you draw get it.</p>
		<ol id="class-list" aria-label="Classes">
			${actions.map((action) => html`<${ClassRow} key=${action.name} action=${action}
				isOpen=${opened === action.name}
				onToggle=${() => setOpened(opened === action.name ? "" : action.name)}
				onRename=${(name) => setOpened(opened === action.name ? name : opened)} />`)}
		</ol>
		<${NewClass} isFirst=${!actions.length} />
		<${NewWords} />
	</section>`;
}

// --- adding ------------------------------------------------------------------------------------

function NewClass({isFirst}) {
	const [name, setName] = useState("");
	const add = (names) => tried(async () => {
		const taken = names.find(actionCalled);
		if (taken) return fault(`There is a class "${taken}" already.`);
		if (!names.length || !await isMeant(names)) return;
		setName(""); // at once, because the next name may be typed while this one is stored
		await changeActions({do: "add", names});
		update({pen: names[0]});
	});
	const submit = (event) => {
		event.preventDefault();
		add(linesOf(name));
	};
	// A list of names may be pasted, a name a line.
	const paste = (event) => {
		const content = event.clipboardData.getData("text");
		if (!content.trim().includes("\n")) return;
		event.preventDefault();
		add(linesOf(content));
	};
	return html`<form id="new-class" class="bar" onSubmit=${submit}>
		<input id="new-class-name" aria-label="Name of a new class" placeholder=${isFirst ? "Name of the first class" : "New class"}
			maxlength="200" autocomplete="off" value=${name} onInput=${(event) => setName(event.target.value)} onPaste=${paste} />
		<button class=${isFirst ? "main" : ""} id="add-class">Add</button>
	</form>`;
}

/** Ask about the first name that equals a class except for its case. */
async function isMeant(names) {
	const other = names.find(twinOf);
	return !other || confirm(`There is a class "${twinOf(other)}". Add "${other}" as a different class?`, "Add");
}

function linesOf(content) {
	const lines = content.split("\n").map((line) => line.trim()).filter(Boolean);
	return [...new Set(lines)];
}

function NewWords() {
	const lines = state.video?.new_words ?? [];
	return html`<p id="new-words" class="hint" role="status" hidden=${!lines.length}>${lines.join("\n")}</p>`;
}

// --- a row -------------------------------------------------------------------------------------

const segmentsOf = (count) => `${count} segment${count === 1 ? "" : "s"}`;
const videosOf = (count) => `${count} video${count === 1 ? "" : "s"}`;

function ClassRow({action, isOpen, onToggle, onRename}) {
	const {name, count} = action;
	const {colour, number} = state.project.colours[name] ?? {};
	const isBackground = state.project.background.includes(name);
	const isPen = state.pen === name;
	const isChosen = chosenPart()?.label === name;
	const style = colour ? {background: colour, color: inkOn(colour)} : {};
	return html`<li class=${isChosen ? "is-chosen" : ""} data-name=${name}>
		<button type="button" class="give" aria-pressed=${String(isPen)} onClick=${() => clickClass(name)}
			title=${action.description || name}>
			<span class="sign" style=${style}>${number ?? "–"}</span><span class="name">${name}</span>
		</button>
		<span class="count" title=${isBackground ? "Background is not counted" : "Segments"}>${isBackground ? "–" : count}</span>
		<button type="button" class="more" aria-expanded=${String(isOpen)} aria-label=${`Edit ${name}`} onClick=${onToggle}>⋯</button>
		${isOpen && html`<${ClassEditor} action=${action} onRename=${onRename} />`}
	</li>`;
}

function inkOn(colour) {
	return globalThis.Timeline.inkOn(globalThis.Timeline.rgb(colour));
}

function ClassEditor({action, onRename}) {
	const {name, removed, videos} = action;
	const [typed, setTyped] = useState(name);
	const count = action.count + removed;
	const beside = removed ? ` (${removed} of them in removed videos)` : "";
	const touched = `${segmentsOf(count)} in ${videosOf(videos)}${beside}`;
	const change = (values) => changeActions({do: "change", name, ...values});

	const rename = async (event) => {
		event.preventDefault();
		const to = typed.trim();
		if (!to || to === name) return;
		if (actionCalled(to)) return mergeInto(to, `There is a class "${to}" already.`);
		if (count && !await confirm(`Rename "${name}" to "${to}"? ${touched} will change.`, "Rename")) return;
		await tried(async () => {
			await changeActions({do: "change", name, to}, {[name]: to});
			onRename(to);
		});
	};

	const mergeInto = async (into, reason = "") => {
		const text = `${reason} Merge "${name}" into "${into}"? ${touched} will change.`.trim();
		if (!await confirm(text, "Merge")) return;
		await tried(() => changeActions({do: "merge", name, into}, {[name]: into}));
	};

	const remove = async () => {
		const text = `Delete the class "${name}"? ${touched} will be deleted. You can undo it.`;
		if (count && !await confirm(text, "Delete")) return;
		await tried(() => changeActions({do: "delete", name}));
	};

	const setKey = (text) => {
		const key = text.trim().slice(-1).toLowerCase();
		const holder = key && takenBy(key, {action: name});
		if (!holder) return change({key});
		fault(`The key ${key.toUpperCase()} belongs to "${holder}".`);
	};

	return html`<div class="editor">
		<form onSubmit=${rename}>
			<label>Name <input class="class-name" maxlength="200" autocomplete="off" value=${typed}
				onInput=${(event) => setTyped(event.target.value)} /></label>
			<span class="hint">Press Enter to rename it (${touched}).</span>
		</form>
		<div class="bar">
			<${Field} label="Key" class="class-key" maxlength="2" size="2" value=${action.key.toUpperCase()} onChange=${setKey} />
			<${Field} label="Colour" class="class-colour" type="color" value=${state.project.colours[name]?.colour ?? "#888888"}
				onChange=${(paint) => change({paint})} />
			<${Check} class="class-point" label="Point event" checked=${action.point} onChange=${(point) => change({point})}
				title="Its key sets a point event, which has a time but no duration" />
			<${Check} class="class-background" label="Background" checked=${action.background} onChange=${(background) => change({background})}
				title="Nothing happens. It only counts as labelled time." />
			<button type="button" hidden=${!action.paint} onClick=${() => tried(() => change({paint: ""}))}>Automatic colour</button>
		</div>
		<${Field} label="Description" class="class-description" maxlength="2000" value=${action.description}
			onChange=${(description) => change({description})} />
		<div class="bar">
			<button type="button" class="class-up" onClick=${() => move(name, -1)}>Up</button>
			<button type="button" class="class-down" onClick=${() => move(name, 1)}>Down</button>
			<button type="button" class="class-merge" onClick=${() => chooseMerge(name, mergeInto)}>Merge …</button>
			<button type="button" class="class-delete" onClick=${remove}>Delete</button>
		</div>
	</div>`;
}

/** Move a class by a place. */
function move(name, by) {
	const names = state.project.actions.map((action) => action.name);
	const target = names.indexOf(name) + by;
	if (target < 0 || target >= names.length) return;
	const before = by < 0 ? names[target] : names[target + 1] ?? null;
	return tried(() => changeActions({do: "move", name, before}));
}

async function chooseMerge(name, mergeInto) {
	const names = state.project.actions.map((action) => action.name).filter((other) => other !== name);
	if (!names.length) return fault("There is no other class.");
	const fields = html`<label>Into <select name="into" id="merge-into">${names.map((other) => html`<option value=${other}>${other}</option>`)}</select></label>`;
	const answer = await question(`Merge "${name}" into a different class:`, "Continue", fields);
	if (answer) await mergeInto(answer.into);
}
