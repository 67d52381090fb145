/* What a key does: a command is a line of this table. */

import {fold, state, update} from "../common/state.js";
import * as labelling from "./labelling.js";
import * as player from "./player.js";
import * as recording from "./recording.js";
import {showNext} from "./videos.js";
import {listUncertainSoon} from "./what_next.js";

/* A key is a letter as it is printed, or a place on the keyboard (a `code` of KeyboardEvent), where a layout may
   print anything. */
export const COMMANDS = [
	{id: "play", title: "Play or pause", key: "Space", run: player.togglePlay},
	{id: "secondBack", title: "One second back", key: "Shift+KeyJ", run: () => player.stepSeconds(-1)}, // before J alone
	{id: "secondForward", title: "One second forward", key: "Shift+KeyK", run: () => player.stepSeconds(1)},
	{id: "fiveBack", title: "Five seconds back", key: "PageUp", run: () => player.stepSeconds(-5)},
	{id: "fiveForward", title: "Five seconds forward", key: "PageDown", run: () => player.stepSeconds(5)},
	{id: "back", title: "One frame back", key: "j", run: () => player.stepFrame(-1)},
	{id: "forward", title: "One frame forward", key: "k", run: () => player.stepFrame(1)},
	{id: "slower", title: "Slower", key: "BracketLeft", run: () => player.timeline.speed(0.5)},
	{id: "faster", title: "Faster", key: "BracketRight", run: () => player.timeline.speed(2)},
	{id: "loop", title: "Loop the chosen segment", key: "l", run: () => player.timeline.loop()},
	{id: "mark", title: "Begin a segment here, which the next class key names", key: "i", run: recording.mark},
	{id: "end", title: "End the segment here", key: "o", run: recording.end},
	{id: "instant", title: "A point event here", key: "p", run: labelling.instant},
	{id: "clicks", title: "Keys of classes set point events, on or off", key: "F2", run: labelling.toggleClicks},
	{id: "split", title: "Split at the cursor", key: "s", run: labelling.split},
	{id: "merge", title: "Merge with the neighbour", key: "m", run: labelling.merge},
	{id: "accept", title: "Accept the draft", key: "Enter", run: acceptAndGoOn},
	{id: "remove", title: "Delete the segment", key: "Delete", run: labelling.remove},
	{id: "leave", title: "Drop the recording, or unselect the segment", key: "Escape", run: recording.leave},
	{id: "startBack", title: "Move its start a frame back", key: "Comma", run: () => player.timeline.nudge("start", -1)},
	{id: "startForward", title: "Move its start a frame forward", key: "Period", run: () => player.timeline.nudge("start", 1)},
	{id: "stopBack", title: "Move its end a frame back", key: "Shift+Comma", run: () => player.timeline.nudge("stop", -1)},
	{id: "stopForward", title: "Move its end a frame forward", key: "Shift+Period", run: () => player.timeline.nudge("stop", 1)},
	{id: "zoomIn", title: "Zoom in", key: "Equal", run: () => player.timeline.zoomBy(0.5)},
	{id: "zoomOut", title: "Zoom out", key: "Minus", run: () => player.timeline.zoomBy(2)},
	{id: "zoomAll", title: "Show the whole video", key: "Home", run: player.zoomAll},
	{id: "previous", title: "Previous segment", key: "ArrowLeft", run: () => player.timeline.step(-1)},
	{id: "next", title: "Next segment", key: "ArrowRight", run: () => player.timeline.step(1)},
	{id: "up", title: "Track above", key: "ArrowUp", run: () => player.timeline.step(0, -1)},
	{id: "down", title: "Track below", key: "ArrowDown", run: () => player.timeline.step(0, 1)},
	{id: "panBack", title: "Pan back", key: "Shift+ArrowLeft", run: () => player.timeline.pan(-0.25)},
	{id: "panForward", title: "Pan forward", key: "Shift+ArrowRight", run: () => player.timeline.pan(0.25)},
	{id: "foldLeft", title: "Fold the list of videos", key: "F6", run: () => fold({left: !state.folded.left})},
	{id: "foldRight", title: "Fold the list of classes", key: "F8", run: () => fold({right: !state.folded.right})},
	{id: "large", title: "Large video: fold both lists", key: "F4", run: toggleLarge},
	{id: "help", title: "List of keys", key: "F1", run: () => update({isHelpOpen: true})},
];

function toggleLarge() {
	const isLarge = state.folded.left && state.folded.right;
	fold({left: !isLarge, right: !isLarge});
}

/** Accept the chosen draft, and show the next segment of What next. */
function acceptAndGoOn() {
	if (labelling.accept()) listUncertainSoon();
	showNext();
}
