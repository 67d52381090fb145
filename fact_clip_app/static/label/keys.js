/* The keys of the page: commands, and classes. */

import {state, update, fault} from "../common/state.js";
import {COMMANDS} from "./commands.js";

const SAME = {Backspace: "Delete", NumpadAdd: "Equal", NumpadSubtract: "Minus", NumpadEnter: "Enter"};

let changed = JSON.parse(localStorage.getItem("keys") ?? "{}"); // command -> key

export const keyOf = (id) => changed[id] ?? COMMANDS.find((command) => command.id === id).key;

/** Return the keys that an event stands for: first the letter that is printed, then the place. */
export function keysOfEvent({key, code, shiftKey}) {
	const prefix = shiftKey ? "Shift+" : "";
	const place = SAME[code] ?? code;
	if (/^[a-z]$/i.test(key)) return [key.toLowerCase(), prefix + place];
	const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
	if (digit) return [digit[1], prefix + place];
	const letter = /^Key([A-Z])$/.exec(code); // a different script, or an input method
	const isPlace = letter && !/^[\x20-\x7e]$/.test(key);
	return [...isPlace ? [letter[1].toLowerCase()] : [key.toLowerCase()], prefix + place];
}

/** Return the command of an event, or undefined. */
export function commandOfKey(event) {
	const keys = event.key === "?" ? [keyOf("help")] : keysOfEvent(event);
	return COMMANDS.find(({id}) => keys.includes(keyOf(id)));
}

/** Return the class whose key was pressed, or undefined. */
export function classOfKey(event) {
	if (event.shiftKey && /^[a-z]$/i.test(event.key)) return undefined;
	const keys = keysOfEvent(event);
	return state.project.actions.find(({key}) => key && keys.includes(key.toLowerCase()));
}

/** Return the title of the command or the name of the class that has a key, or undefined if it is free. */
export function takenBy(key, except = "") {
	const command = COMMANDS.find(({id}) => id !== except && keyOf(id) === key.toLowerCase());
	if (command) return command.title;
	const action = state.project.actions.find((candidate) => {
		return candidate.name !== except && candidate.key.toLowerCase() === key.toLowerCase();
	});
	return action?.name;
}

/** Give a command the key of an event, unless something else has it. */
export function setKey(id, event) {
	const [printed, place] = keysOfEvent(event);
	const key = /^[a-z0-9]$/.test(printed) && !event.shiftKey ? printed : place;
	const holder = takenBy(key, id);
	if (holder) return fault(`The key ${nameOf(key)} belongs to "${holder}".`);
	changed = {...changed, [id]: key};
	localStorage.setItem("keys", JSON.stringify(changed));
	update({});
}

export function resetKeys() {
	changed = {};
	localStorage.removeItem("keys");
	update({});
}

const NAMES = {
	BracketLeft: "[", BracketRight: "]", Comma: ",", Period: ".", Equal: "+", Minus: "−", ArrowLeft: "←", ArrowRight: "→",
	ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Delete: "Del",
};
let layout = new Map();

/** Return the name of a key as this keyboard prints it. */
export function nameOf(key) {
	const [code, modifier] = key.split("+").reverse();
	const printed = layout.get(code) ?? NAMES[code] ?? code.replace(/^Key/, "");
	const name = printed.length === 1 ? printed.toUpperCase() : printed;
	return modifier ? `${modifier} ${name}` : name;
}

/** Read what this keyboard prints, if the browser reports it. */
export async function learnLayout() {
	if (!navigator.keyboard?.getLayoutMap) return;
	layout = await navigator.keyboard.getLayoutMap();
	update({});
}
