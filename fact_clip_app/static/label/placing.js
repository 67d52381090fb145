/* New segments on the current track. */

import {edit} from "../common/edits.js";
import * as segments from "../common/segments.js";
import {currentTrack, fault, update} from "../common/state.js";

/** Return the labels of the current track. */
export const labels = () => currentTrack().segments;

/** Put a label on the current track. It is shown, but no key of a class renames it. */
export function put(start, stop, label) {
	if (!label) return fault("Add a class first.");
	edit(segments.put(labels(), {start, stop, label, origin: "drawn", comment: ""}), start);
	update({isPicked: false});
}
