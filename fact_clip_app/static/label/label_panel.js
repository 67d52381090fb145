/* The panel where videos are labelled. */

import {html, useState} from "../vendor/preact-htm.js";
import {Check, Select} from "../common/controls.js";
import {refresh} from "../common/project.js";
import {tried} from "../common/requests.js";
import {chooseTrack, currentTrack, state} from "../common/state.js";
import {Classes} from "./classes.js";
import {Clock} from "./clocks.js";
import {CurveChooser, Curves} from "./curves.js";
import {EmptyProject} from "./empty_project.js";
import {Inspector} from "./inspector.js";
import {WhatIsThis} from "./groups.js";
import * as labelling from "./labelling.js";
import {changeVideo} from "./open_video.js";
import {useRecordedClass} from "./recording.js";
import {SegmentList} from "./segment_list.js";
import {Splitter} from "./splitter.js";
import {TimelineView} from "./timeline_view.js";
import {Toolbar} from "./toolbar.js";
import {Video} from "./video_view.js";
import {Videos, WhatNext} from "./videos.js";

export function LabelPanel({isHidden}) {
	useRecordedClass();
	const {video, project, widths} = state;
	const style = {"--left": `${widths.left}px`, "--right": `${widths.right}px`};
	const folded = {left: video && state.folded.left, right: video && state.folded.right};
	return html`<div id="label-panel" class="columns" style=${style} hidden=${isHidden}>
		<main id="work" tabindex="-1">
			${video && html`<${Workplace} key=${video.id} video=${video} />`}
			${!video && (project.videos.length ? html`<p id="empty" class="hint">Choose a video on the left.</p>` : html`<${EmptyProject} />`)}
			${!folded.left && html`<${Splitter} side="left" label="Width of the list of videos" />`}
			${!folded.right && html`<${Splitter} side="right" label="Width of the list of classes" />`}
		</main>
		<aside class="left" aria-label="Videos" hidden=${folded.left}>
			<${Videos} />
			<${WhatNext} />
			<${WhatIsThis} />
		</aside>
		<aside class="right" aria-label="Chosen segment and classes" hidden=${folded.right}>
			${video && html`<${VideoName} key=${video.id} video=${video} />`}
			${video && html`<div id="segments-area"><${Inspector} /><${SegmentList} video=${video} /></div>`}
			<${Classes} />
		</aside>
	</div>`;
}

function Workplace({video}) {
	return html`
		<p id="video-problem" class="fault" role="alert" hidden=${!video.problem}>No drafts. ${video.problem}</p>
		<${Video} video=${video} />
		<div id="stage">
			<${Toolbar} video=${video} />
			<${Curves} video=${video} />
			<${TimelineView} video=${video} onEdit=${labelling.moved} onDraw=${labelling.drawn} />
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
			title="Name of the video; Enter renames it" onInput=${(event) => setName(event.target.value)} onBlur=${() => setName(video.name)} />
	</form>`;
}

// --- tracks ------------------------------------------------------------------------------------

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
			if (isShown) chooseTrack(id);
		});
	};
	const remove = () => tried(() => changeVideo(`/tracks/${track.id}`, "DELETE"));
	const isRemovable = video.tracks.length > 1 && !track.segments.length;
	return html`<div class="bar" id="tracks">
		<${Select} aria-label="Track" id="track" value=${track.id} options=${video.tracks.map(titled)}
			onChange=${(id) => chooseTrack(Number(id))} />
		<span title="Unlabelled parts of this track are background"><${Check} key=${track.id} id="complete" label="Fully labelled"
			checked=${track.complete} onChange=${(complete) => change({complete})} /></span>
		<form class="bar" onSubmit=${add}>
			<input id="track-name" aria-label="Name of a new track" placeholder="New track" maxlength="200" autocomplete="off"
				value=${name} onInput=${(event) => setName(event.target.value)} />
			<button id="add-track" disabled=${!name.trim()}>Add track</button>
		</form>
		<button type="button" id="remove-track" hidden=${!isRemovable} onClick=${remove}>Remove empty track</button>
		<${CurveChooser} key=${video.id} video=${video} />
		<${Clock} />
	</div>`;
}
