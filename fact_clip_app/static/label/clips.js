/* The sheet of clips: segments of a class in all videos, which can get a different class. */

import {html, useEffect, useRef} from "../vendor/preact-htm.js";
import {asPairs, Select, useAnswer} from "../common/controls.js";
import {bodyOf, mayEdit, reloadLater} from "../common/edits.js";
import {refresh} from "../common/project.js";
import {ask, tried, videoPath} from "../common/requests.js";
import {change, clock, plain} from "../common/segments.js";
import {state, update} from "../common/state.js";
import {show} from "./videos.js";

const MOST = 12;
const ORDERS = ["longest", "shortest", "surest", "least sure"];

export const Clips = () => state.clips && html`<${Sheet} clips=${state.clips} />`;

function Sheet({clips}) {
	const dialog = useRef(null);
	const [answer, problem] = useAnswer(`/api/clips?${new URLSearchParams({...clips, annotator: state.annotator})}`);
	const rows = answer?.segments.slice(0, MOST);
	useEffect(() => dialog.current.showModal(), []);
	const close = () => update({clips: null});
	const choose = (values) => update({clips: {...clips, ...values}});
	const names = asPairs(state.project.actions.map(({name}) => name));
	const isDraftsOnly = clips.order.includes("sure");
	return html`<dialog id="clips" ref=${dialog} aria-labelledby="clips-title" onClose=${close}>
		<div class="bar">
			<h2 id="clips-title">Clips</h2>
			<${Select} label="of" id="clips-class" value=${clips.label} options=${names} onChange=${(label) => choose({label})} />
			<${Select} label="first the" id="clips-order" value=${clips.order} options=${asPairs(ORDERS)} onChange=${(order) => choose({order})} />
			<button type="button" class="main" onClick=${close}>Close</button>
		</div>
		<p class="fault" role="alert">${problem}</p>
		<p class="hint" role="status">${rows?.length === 0 ? `No ${isDraftsOnly ? "draft" : "segment"} of this class.` : ""}</p>
		<ul class="sheet" id="sheet">${rows?.map((clip) => html`<${Tile} key=${`${clip.video} ${clip.track} ${clip.start} ${clip.label}`}
			clip=${clip} names=${names} onOpen=${close} />`)}</ul>
	</dialog>`;
}

function Tile({clip, names, onOpen}) {
	const isDraft = "confidence" in clip;
	const open = () => {
		onOpen();
		tried(() => show(clip, clip.track));
	};
	const sure = isDraft && clip.confidence !== null ? `, draft, ${Math.round(100 * clip.confidence)} %` : "";
	return html`<li>
		<${Film} clip=${clip} />
		<button type="button" class="link" onClick=${open}><span class="name">${clip.name}</span>
			<small>${clock(clip.time, 1)}, ${clip.seconds.toFixed(1)} s${sure}</small></button>
		<${Select} aria-label=${`Class of the clip of ${clip.name} at ${clock(clip.time, 1)}`} value=${clip.label} options=${names}
			onChange=${(label) => tried(() => relabel(clip, label))} />
	</li>`;
}

/** The video of a clip. It plays in a loop under the mouse, or while it has the focus. */
export function Film({clip}) {
	const {media} = state.project.videos.find(({id}) => id === clip.video) ?? {};
	if (!["original", "proxy"].includes(media)) return html`<p class="hint">Features without a video.</p>`;
	const end = clip.time + clip.seconds;
	const repeat = ({target}) => {
		if (target.currentTime >= end || target.currentTime < clip.time) target.currentTime = clip.time;
	};
	const play = ({target}) => target.play().catch(() => {}); // leaving it at once stops it before it has begun
	const stop = ({target}) => target.pause();
	return html`<video src=${`${videoPath(clip.video, `/media?of=${media}`)}#t=${clip.time + 0.002},${end}`} muted preload="metadata" tabindex="0"
		aria-label=${`Clip of ${clip.name}, which plays while it has the focus`} onTimeUpdate=${repeat} onMouseEnter=${play} onFocus=${play}
		onMouseLeave=${stop} onBlur=${stop}></video>`;
}

/** Give a clip a different class. */
async function relabel(clip, label) {
	if (!mayEdit({id: clip.track})) return;
	const part = "confidence" in clip ? {...clip, kind: "draft"} : {...plain(clip), kind: "label"};
	await ask(videoPath(clip.video, "/edits"), "POST", bodyOf(clip.track, change(part, {label})));
	if (state.video?.id === clip.video) reloadLater();
	await refresh();
}
