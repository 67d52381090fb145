/* The keys of the page: commands, and classes.

A key is a string of one of two kinds:
  printed  what the key prints, in lower case, such as "s" or "7". The place of the key does not matter.
  place    a `code` of KeyboardEvent, after "Shift+" if Shift is held, such as "ArrowLeft" or "Shift+KeyJ".
The key of a class is always a printed one. */

import {state, update, fault} from "../common/state.js";
import {COMMANDS} from "./commands.js";

/** Places that count as a different place, because they mean the same. */
const PLACE_FOR = {Backspace: "Delete", NumpadAdd: "Equal", NumpadSubtract: "Minus", NumpadEnter: "Enter"};

/** The key of each command that the user has changed, by the id of the command. */
let changed = JSON.parse(localStorage.getItem("keys") ?? "{}");

export const keyOf = (id) => changed[id] ?? COMMANDS.find((command) => command.id === id).key;

/** Return whether two keys are the same. Printed keys of classes may be upper-case letters. */
function isSameKey(first, second) {
	const isPrinted = first.length === 1 && second.length === 1;
	return isPrinted ? first.toLowerCase() === second.toLowerCase() : first === second;
}

/** Return the two keys that an event stands for: first the printed one, then the place. */
export function keysOfEvent({key, code, shiftKey}) {
	const place = (shiftKey ? "Shift+" : "") + (PLACE_FOR[code] ?? code);
	return [printedKey(key, code), place];
}

function printedKey(key, code) {
	if (/^[a-z]$/i.test(key)) return key.toLowerCase();
	const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
	if (digit) return digit[1];
	// With a different script or an input method, a key means the Latin letter of its place.
	const letter = /^Key([A-Z])$/.exec(code);
	const printsOtherScript = !/^[\x20-\x7e]$/.test(key);
	return letter && printsOtherScript ? letter[1].toLowerCase() : key.toLowerCase();
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

/** Return the title of the command or the name of the class that has a key, or undefined if it is free.
The command with the id `except.command`, or the class with the name `except.action`, does not count. */
export function takenBy(key, except = {}) {
	const command = COMMANDS.find(({id}) => id !== except.command && isSameKey(keyOf(id), key));
	if (command) return command.title;
	const action = state.project.actions.find(({name, key: keyOfClass}) => name !== except.action && isSameKey(keyOfClass, key));
	return action?.name;
}

/** Give a command the key of an event, unless something else has it. */
export function setKey(id, event) {
	const [printed, place] = keysOfEvent(event);
	const key = /^[a-z0-9]$/.test(printed) && !event.shiftKey ? printed : place;
	const holder = takenBy(key, {command: id});
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
