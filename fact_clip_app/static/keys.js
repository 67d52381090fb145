/* The keys of the page: commands, and classes. */

import {state, update, fault} from "./state.js";

/* A key is a letter as it is printed, or a place on the keyboard (a `code` of KeyboardEvent), where a layout may
   print anything. */
export const COMMANDS = [
	{id: "play", title: "Play or pause", key: "Space"},
	{id: "back", title: "One frame back", key: "j"},
	{id: "forward", title: "One frame forward", key: "k"},
	{id: "slower", title: "Slower", key: "BracketLeft"},
	{id: "faster", title: "Faster", key: "BracketRight"},
	{id: "loop", title: "Loop the chosen segment", key: "l"},
	{id: "mark", title: "A segment begins here", key: "i"},
	{id: "end", title: "The segment ends here", key: "o"},
	{id: "instant", title: "A point event here", key: "p"},
	{id: "split", title: "Split at the cursor", key: "s"},
	{id: "merge", title: "Merge with the neighbour", key: "m"},
	{id: "accept", title: "Accept the draft", key: "Enter"},
	{id: "remove", title: "Delete the segment", key: "Delete"},
	{id: "leave", title: "Choose nothing, stop recording", key: "Escape"},
	{id: "startBack", title: "Move its start a frame back", key: "Comma"},
	{id: "startForward", title: "Move its start a frame forward", key: "Period"},
	{id: "stopBack", title: "Move its end a frame back", key: "Shift+Comma"},
	{id: "stopForward", title: "Move its end a frame forward", key: "Shift+Period"},
	{id: "zoomIn", title: "Zoom in", key: "Equal"},
	{id: "zoomOut", title: "Zoom out", key: "Minus"},
	{id: "zoomAll", title: "Show the whole video", key: "Home"},
	{id: "previous", title: "Previous segment", key: "ArrowLeft"},
	{id: "next", title: "Next segment", key: "ArrowRight"},
	{id: "up", title: "Track above", key: "ArrowUp"},
	{id: "down", title: "Track below", key: "ArrowDown"},
	{id: "panBack", title: "Pan back", key: "Shift+ArrowLeft"},
	{id: "panForward", title: "Pan forward", key: "Shift+ArrowRight"},
	{id: "help", title: "This list", key: "F1"},
];

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
	const letter = /^Key([A-Z])$/.exec(code); // another script, or an input method
	const isPlace = letter && !/^[\x20-\x7e]$/.test(key);
	return [...isPlace ? [letter[1].toLowerCase()] : [key.toLowerCase()], prefix + place];
}

export function commandOf(event) {
	const keys = keysOfEvent(event);
	return COMMANDS.find(({id}) => keys.includes(keyOf(id)))?.id ?? (event.key === "?" ? "help" : undefined);
}

/** Return the class whose key was pressed, or undefined. */
export function actionOf(event) {
	if (event.shiftKey && /^[a-z]$/i.test(event.key)) return undefined;
	const keys = keysOfEvent(event);
	return state.project.actions.find(({key}) => key && keys.includes(key.toLowerCase()));
}

/** Return what takes a key: the title of a command, or the name of a class; undefined if it is free. */
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
	const printed = layout.get(code) ?? NAMES[code] ?? code;
	const name = printed.length === 1 ? printed.toUpperCase() : printed;
	return modifier ? `${modifier} ${name}` : name;
}

/** Learn what this keyboard prints, where the browser tells it. */
export async function learnLayout() {
	if (!navigator.keyboard?.getLayoutMap) return;
	layout = await navigator.keyboard.getLayoutMap();
	update({});
}
