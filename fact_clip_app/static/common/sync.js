/* The state of this page with respect to the server: three parts, each of which is in one named state.

project  the videos and classes that are shown
         current   they are as the server last had them
         fetching  they are being fetched, because something has changed on the server
         outdated  something has changed again meanwhile, so they are fetched once more
labels   the edits of this page
         idle      no edit is being sent
         sending   the edits in the queue are being sent, one after the other
         retrying  the server is away; the same edit is sent again after a pause
video    the labels of the open video that other people and models change
         current   no change of theirs is known that is not shown, or being fetched
         outdated  the video is fetched again once the labels are idle */

const ARROWS = {
	project: {current: ["fetching"], fetching: ["current", "outdated"], outdated: ["fetching", "outdated", "current"]},
	labels: {idle: ["sending"], sending: ["retrying", "idle"], retrying: ["sending"]},
	video: {current: ["outdated"], outdated: ["current"]},
};

/** The state of each part. Only `become` changes it. */
export const sync = {project: "current", labels: "idle", video: "current"};

/** Let a part take its next state, to which an arrow must lead. */
export function become(part, next) {
	const last = sync[part];
	if (!ARROWS[part][last].includes(next)) throw new Error(`${part}: no arrow from "${last}" to "${next}"`);
	sync[part] = next;
}
