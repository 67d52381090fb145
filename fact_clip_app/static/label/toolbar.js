/* The toolbar of icons that play, label and fold. A tooltip shows what each icon does, and its key. */

import {html, useLayoutEffect, useRef} from "../vendor/preact-htm.js";
import {IconButton} from "../common/controls.js";
import {undo, redo} from "../common/edits.js";
import {chosenPart, state, update} from "../common/state.js";
import {useTicks} from "./clocks.js";
import {COMMANDS} from "./commands.js";
import {keyOf, nameOf} from "./keys.js";
import * as labelling from "./labelling.js";
import * as player from "./player.js";

export function Toolbar({video}) {
	const part = chosenPart();
	const {recording, folded, unsent} = state;
	return html`<${Roving} label="Play and label">
		<span class="group">
			<${PlayButton} />
			<${CommandButton} id="back" icon="step-back" />
			<${CommandButton} id="forward" icon="step-forward" />
			<${CommandButton} id="slower" icon="rewind" />
			<${CommandButton} id="faster" icon="fast-forward" />
			<${CommandButton} id="loop" icon="repeat" aria-pressed=${String(state.isLooping)} />
		</span>
		<span class="group">
			<${CommandButton} id="mark" icon="circle-dot" aria-pressed=${String(recording !== null)} />
			<${CommandButton} id="end" icon="square" disabled=${!recording} />
			<${CommandButton} id="instant" icon="map-pin" />
			<${CommandButton} id="clicks" icon="mouse-pointer-click" aria-pressed=${String(state.isClicking)} />
		</span>
		<span class="group">
			<${CommandButton} id="split" icon="scissors" disabled=${!part} />
			<${CommandButton} id="merge" icon="merge" disabled=${!labelling.partToMerge()} />
			<${CommandButton} id="remove" icon="trash-2" disabled=${!part} />
			${state.project.model.exists && html`<${CommandButton} id="accept" icon="check" disabled=${part?.kind !== "draft"} />`}
			<${IconButton} id="undo" icon="undo-2" title=${video.undo ? `Undo: ${video.undo} (Ctrl+Z)` : "Nothing to undo"}
				disabled=${!video.undo && !unsent} onClick=${undo} />
			<${IconButton} id="redo" icon="redo-2" title=${video.redo ? `Redo: ${video.redo} (Ctrl+Shift+Z)` : "Nothing to redo"}
				disabled=${!video.redo} onClick=${redo} />
		</span>
		<span class="group">
			<${CommandButton} id="zoomIn" icon="zoom-in" />
			<${CommandButton} id="zoomOut" icon="zoom-out" />
		</span>
		<span class="group">
			<${CommandButton} id="foldLeft" icon="panel-left" aria-pressed=${String(folded.left)} />
			<${CommandButton} id="foldRight" icon="panel-right" aria-pressed=${String(folded.right)} />
			<${CommandButton} id="large" icon="maximize-2" aria-pressed=${String(folded.left && folded.right)} />
			<${IconButton} id="keys" icon="keyboard" title="List of keys (?)" onClick=${() => update({isHelpOpen: true})} />
		</span>
	<//>`;
}

/** A toolbar that is one stop of the Tab key. Arrow keys move between its buttons. */
function Roving({label, children}) {
	const box = useRef(null);
	const last = useRef(null); // the button that had the focus
	const enabled = () => [...box.current.querySelectorAll("button:not(:disabled)")];
	useLayoutEffect(() => {
		const buttons = enabled();
		const stop = buttons.includes(last.current) ? last.current : buttons[0];
		for (const button of box.current.querySelectorAll("button")) button.tabIndex = button === stop ? 0 : -1;
	});
	const move = (event) => {
		const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
		if (!step) return;
		const buttons = enabled();
		const place = buttons.indexOf(document.activeElement) + step;
		buttons.at(place % buttons.length).focus();
		event.preventDefault();
	};
	const keep = ({target}) => {
		last.current = target;
		for (const button of enabled()) button.tabIndex = button === target ? 0 : -1;
	};
	return html`<div id="toolbar" role="toolbar" aria-label=${label} ref=${box} onKeyDown=${move} onFocusCapture=${keep}>${children}</div>`;
}

function PlayButton() {
	useTicks();
	const isPaused = player.isPaused();
	const title = `${isPaused ? "Play" : "Pause"} (${nameOf(keyOf("play"))})`;
	return html`<${IconButton} id="play" icon=${isPaused ? "play" : "pause"} title=${title} disabled=${!player.media}
		onClick=${player.togglePlay} />`;
}

/** The button of a command, with its key. */
function CommandButton({id, icon, ...more}) {
	const {title, run} = COMMANDS.find((command) => command.id === id);
	return html`<${IconButton} id=${id} icon=${icon} title=${`${title} (${nameOf(keyOf(id))})`} ...${more} onClick=${() => run()} />`;
}

