/* What a pressed key does on the page. */

import {afterSteps, redo, undo} from "../common/edits.js";
import {state} from "../common/state.js";
import {classOfKey, commandOfKey} from "./keys.js";
import * as labelling from "./labelling.js";
import * as player from "./player.js";

const ONCE = ["mark", "end", "instant", "clicks", "play"]; // held down, these keys do no more than pressed
const TYPING = "textarea, select, dialog, [popover], input:not([type=checkbox], [type=range], [type=file])";

/** Run the command, or give the class, of a key. */
export function pressKey(event) {
	if (isForTyping(event)) return;
	if (event.ctrlKey || event.metaKey) return pressControl(event);
	if (isForButton(event)) return;
	if (event.key === "Escape" && player.timeline?.cancelDrag()) return;
	const isLabelling = state.video && state.panel === "label";
	const action = isLabelling ? classOfKey(event) : undefined;
	const command = commandOfKey(event);
	if (command?.id === "help") command.run();
	else if (!isLabelling || !action && !command) return;
	else if (!event.repeat || !action && !ONCE.includes(command.id)) {
		const run = action ? (cursor) => labelling.pressClass(action.name, cursor) : command.run;
		const cursor = player.cursor(); // as it is now: an undo may have to end first
		afterSteps(() => run(cursor));
	}
	event.preventDefault();
	event.stopPropagation(); // the timeline need not hear it again
}

/** Return whether a key is not for the page: somebody types, or a dialog lies over it, also if nothing in it has the focus. */
function isForTyping({target, altKey, isComposing}) {
	return target.closest(TYPING) || document.querySelector("dialog[open]") || altKey || isComposing;
}

/** Return whether the browser presses a button, or moves in a field or an edge, with the key. */
function isForButton({target, code, key}) {
	if (!target.closest("button, summary, a, input, [role=separator]")) return false;
	return code === "Space" || key === "Enter" || /^Arrow|^Home$|^End$/.test(key);
}

function pressControl(event) {
	if (!["z", "y"].includes(event.key.toLowerCase()) || !state.video) return;
	const isRedo = event.shiftKey || event.key.toLowerCase() === "y";
	if (isRedo) redo();
	else undo();
	event.preventDefault();
}
