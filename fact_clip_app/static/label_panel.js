/* The panel where videos are labelled. */

import {html, useState} from "./vendor/preact-htm.js";
import {Classes} from "./classes.js";
import {COMMANDS} from "./commands.js";
import {Check, Select} from "./controls.js";
import {undo, redo} from "./edits.js";
import {DropZone} from "./files.js";
import {Inspector} from "./inspector.js";
import {keyOf, nameOf} from "./keys.js";
import * as labelling from "./labelling.js";
import * as player from "./player.js";
import {tried} from "./requests.js";
import {changeVideo, refresh} from "./session.js";
import {chosenPart, currentTrack, state, update} from "./state.js";
import {Videos, WhatNext} from "./videos.js";

export function LabelPanel({isHidden}) {
	const {video, project} = state;
	return html`<div id="label-panel" class="columns" hidden=${isHidden}>
		<aside class="left">
			<${Videos} />
			<${WhatNext} />
		</aside>
		<main id="work">
			${video ? html`<${Workplace} key=${video.id} video=${video} />` : html`<${Empty} count=${project.videos.length} />`}
		</main>
		<aside class="right">
			${video && html`<${Inspector} />`}
			<${Classes} />
		</aside>
	</div>`;
}

function Empty({count}) {
	if (count) return html`<p id="empty" class="hint">Choose a video on the left.</p>`;
	return html`<div id="empty">
		<${DropZone} id="first-files" isLarge title="Choose videos …"
			hint="Drop videos, feature files or label files here. They are copied into this project and stay on this computer." />
		<ol id="steps">
			<li>Add your videos.</li>
			<li>Add a class for each action, on the right.</li>
			<li>Play. Press the key of a class where its action begins, and again where it ends; or drag on the timeline.</li>
			<li>Teach: train a model on your labels. It drafts the other videos, and you correct it.</li>
			<li>Results: save labels for ELAN, BORIS and other tools, time budgets, and how far two people agree.</li>
		</ol>
	</div>`;
}

function Workplace({video}) {
	return html`
		<${VideoName} video=${video} />
		<p id="video-problem" class="fault" role="alert" hidden=${!video.problem}>No drafts. ${video.problem}</p>
		<${player.Video} video=${video} />
		<div id="stage">
			<${PlayBar} />
			<${player.TimelineView} video=${video} onEdit=${labelling.moved} onDraw=${labelling.drawn} />
			<${LabelBar} video=${video} />
			<${TrackBar} video=${video} />
		</div>`;
}

function VideoName({video}) {
	const [name, setName] = useState(video.name);
	const rename = (event) => {
		event.preventDefault();
		if (name.trim() && name.trim() !== video.name) {
			tried(async () => {
				await changeVideo("", "PATCH", {name: name.trim()});
				await refresh();
			});
		}
	};
	return html`<form id="video-name-form" onSubmit=${rename}>
		<input id="video-name" aria-label="Name of the video; Enter renames it" maxlength="200" autocomplete="off" value=${name}
			onInput=${(event) => setName(event.target.value)} onBlur=${() => setName(video.name)} />
	</form>`;
}

// --- bars --------------------------------------------------------------------------------------

/** The button of a command, with its key. */
function CommandButton({id, title, ...more}) {
	const {run} = COMMANDS.find((command) => command.id === id);
	return html`<button type="button" id=${id} ...${more} onClick=${() => run()}>${title} <kbd>${nameOf(keyOf(id))}</kbd></button>`;
}

function PlayBar() {
	return html`<div class="bar" role="toolbar" aria-label="Play">
		<${player.PlayButton} />
		<${CommandButton} id="back" title="◀" aria-label="One frame back" />
		<${CommandButton} id="forward" title="▶" aria-label="One frame forward" />
		<${CommandButton} id="slower" title="Slower" />
		<${CommandButton} id="faster" title="Faster" />
		<${CommandButton} id="loop" title="Loop" aria-pressed=${String(state.isLooping)} />
		<${player.Clock} />
		<button type="button" id="keys" onClick=${() => update({isHelpOpen: true})}>Keys <kbd>?</kbd></button>
	</div>`;
}

function LabelBar({video}) {
	const part = chosenPart();
	const {recording, unsent} = state;
	return html`<div class="bar" role="toolbar" aria-label="Label">
		<${CommandButton} id="mark" title="Begin" aria-pressed=${String(recording !== null)} />
		<${CommandButton} id="end" title="End" disabled=${!recording} />
		<${CommandButton} id="instant" title="Point" />
		<${CommandButton} id="clicks" title="Clicks" aria-pressed=${String(state.isClicking)} />
		<${CommandButton} id="split" title="Split" disabled=${!part} />
		<${CommandButton} id="merge" title="Merge" disabled=${!labelling.partToMerge()} />
		<${CommandButton} id="remove" title="Delete" disabled=${!part} />
		${state.project.model.exists && html`<${CommandButton} id="accept" title="Accept draft" disabled=${part?.kind !== "draft"} />`}
		<button type="button" id="undo" title=${video.undo ?? "Nothing to undo"} disabled=${!video.undo && !unsent} onClick=${undo}>Undo</button>
		<button type="button" id="redo" title=${video.redo ?? "Nothing to redo"} disabled=${!video.redo} onClick=${redo}>Redo</button>
	</div>`;
}

const titled = ({id, name, annotator}) => [id, annotator && annotator !== name ? `${name} (of ${annotator})` : name];

function TrackBar({video}) {
	const track = currentTrack();
	const [name, setName] = useState("");
	const change = (values) => tried(async () => {
		await changeVideo(`/tracks/${track.id}`, "PATCH", values);
		await refresh();
	});
	const add = (event) => {
		event.preventDefault();
		tried(async () => {
			const body = {name: name.trim() || state.annotator, annotator: state.annotator};
			const answer = await changeVideo("/tracks", "POST", body);
			setName("");
			const {id} = answer.tracks.find((track) => track.name === body.name) ?? answer.tracks.at(-1);
			const isShown = state.video?.tracks.some((shown) => shown.id === id); // not while edits wait
			if (isShown) update({trackId: id, frame: null});
		});
	};
	const remove = () => tried(() => changeVideo(`/tracks/${track.id}`, "DELETE"));
	const isRemovable = video.tracks.length > 1 && !track.segments.length;
	return html`<div class="bar" id="tracks">
		<${Select} label="Track" id="track" value=${track.id} options=${video.tracks.map(titled)}
			onChange=${(id) => update({trackId: Number(id), frame: null})} />
		<${Check} key=${track.id} id="complete" label="This track is fully labelled (unlabelled parts are background)" checked=${track.complete}
			onChange=${(complete) => change({complete})} />
		<form class="bar" onSubmit=${add}>
			<input id="track-name" aria-label="Name of a new track" placeholder="New track" maxlength="200" autocomplete="off"
				value=${name} onInput=${(event) => setName(event.target.value)} />
			<button id="add-track" disabled=${!name.trim()}>Add track</button>
		</form>
		<button type="button" id="remove-track" disabled=${!isRemovable} onClick=${remove}>Remove empty track</button>
	</div>`;
}
