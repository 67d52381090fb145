/* New segments on the current track, and what they cover. */

import {confirm} from "../common/dialogs.js";
import {edit} from "../common/edits.js";
import * as segments from "../common/segments.js";
import {currentTrack, fault, state, update} from "../common/state.js";
import * as player from "./player.js";
import {redraw} from "./timeline_view.js";

/** Return the labels of the current track. */
export const labels = () => currentTrack().segments;

/** Put a segment on the current track; what lies under it is cut. It is shown, but no key of a class renames it. */
export async function put(start, stop, label) {
	if (!label) return fault("Add a class first.");
	if (!await mayCover({start, stop, label}, `Cancel drops "${label}".`)) return;
	edit(segments.put(labels(), {start, stop, label, origin: "drawn", comment: ""}), start);
	update({isPicked: false});
}

/** Ask before a segment of the current track covers point events, which are deleted then; return whether it may. */
export async function mayCover({start, stop, label}, outcome) {
	const {video} = state;
	const {id} = currentTrack();
	const points = labels().filter((other) => segments.isInstant(other) && start < other.start && other.start < stop);
	if (!points.length) return true;
	player.pause();
	const text = `${points.length} point event${points.length === 1 ? "" : "s"} within "${label}" will be deleted. ${outcome}`;
	if (!await confirm(text, "Delete them")) {
		redraw();
		return false;
	}
	// while the question was open, another video may have been opened, or the track removed
	const isTrackShown = state.video?.id === video.id && state.video.tracks.some((track) => track.id === id);
	if (isTrackShown) update({trackId: id});
	else fault(`"${label}" was not stored: its track is not shown any more.`);
	return isTrackShown;
}
