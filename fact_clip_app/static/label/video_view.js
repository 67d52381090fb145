/* The video, and what lies over it. */

import {html, useEffect, useLayoutEffect, useRef, useState} from "../vendor/preact-htm.js";
import {JobLine} from "../common/controls.js";
import {videoPath} from "../common/requests.js";
import {covers} from "../common/segments.js";
import {chosenPart, state, update} from "../common/state.js";
import {Chip} from "./clocks.js";
import {SilentClock} from "./silent_clock.js";
import {canPlay, here, isPaused, media, pause, setMedia, togglePlay} from "./player.js";

const REASONS = {
	null: "This recording has no video. The timeline and its curves play without it.",
	converting: "Your browser cannot play this format. It is being converted. You can label in the meantime.",
	failed: "This video could not be converted for your browser. Everything except the display works.",
};

export function Video({video}) {
	const element = useRef(null);
	const [isUnplayable, setUnplayable] = useState(false);
	const plays = canPlay();
	useLayoutEffect(() => {
		setMedia(element.current ?? new SilentClock(video.times.at(-1)));
		setUnplayable(false);
		return () => {
			pause();
			setMedia(null);
		};
	}, [video.id, video.media]);
	usePause(state.panel !== "label");
	usePlaying();
	const inList = state.project.videos.find(({id}) => id === video.id); // it is fetched more often
	const reason = isUnplayable ? "Your browser cannot play this video. Everything else works." : REASONS[video.media];
	return html`<div id="screen" class=${plays ? "" : "silent"}>
		${plays && html`<video id="video" key=${`${video.id} ${video.media}`} ref=${element} preload="auto"
			src=${videoPath(video.id, `/media?of=${video.media}`)} aria-label="Video" playsinline
			onClick=${togglePlay} onError=${() => setUnplayable(true)}></video>`}
		${(!plays || isUnplayable) && html`<p id="silent" role="status">${reason}</p>`}
		<${JobLine} job=${inList?.conversion} title="Converting" name=${video.name} />
		${state.recording && html`<${Chip} recording=${state.recording} />`}
	</div>`;
}

/** While the video plays, release a picked segment that the cursor leaves, and mark that the recording has moved. */
function usePlaying() {
	useEffect(() => {
		const timer = setInterval(() => {
			if (isPaused()) return;
			const {recording, isPicked} = state;
			if (recording?.isStill) update({recording: {...recording, isStill: false}});
			const part = isPicked ? chosenPart() : undefined;
			if (part && !covers(part, here())) update({isPicked: false});
		}, 100);
		return () => clearInterval(timer);
	}, []);
}

/** Pause while a different panel is open, and continue when this panel is open again. */
function usePause(isAway) {
	const wasPlaying = useRef(false);
	useEffect(() => {
		const isPlaying = media !== null && !media.paused;
		if (!isAway && wasPlaying.current) togglePlay();
		wasPlaying.current = isAway && isPlaying;
		if (isAway) pause();
	}, [isAway]);
}
