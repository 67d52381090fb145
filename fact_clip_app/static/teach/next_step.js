/* The next step of a project towards a good model, and the reasons for it. */

import {html} from "../vendor/preact-htm.js";
import {showPanel, state} from "../common/state.js";

export const FEWEST = 5; // segments of a class

const MOST_NAMES = 3;

const videosOf = (count) => `${count} video${count === 1 ? " is" : "s are"}`;

/** Return some names as a part of a sentence, with the number of the others. */
function listed(names) {
	const rest = names.length - MOST_NAMES;
	if (rest > 0) return `${names.slice(0, MOST_NAMES).join(", ")} and ${rest} more`;
	return names.join(", ").replace(/, ([^,]*)$/, " and $1");
}

/** Return whether a training is waiting or running. */
export const isBusy = (job) => Boolean(job) && !["done", "failed"].includes(job.state);

/** Return the next step as {text, reasons, isLabelling}: a sentence, sentences, and whether it is done in the panel Label. */
export function nextStep({videos, actions, background, model, runs, training}) {
	const labelled = videos.filter(({labels, progress}) => labels > 0 || progress === "complete");
	const started = videos.filter(({progress}) => progress === "started");
	const unlabelled = videos.filter(({progress}) => progress === "unlabelled");
	const classes = actions.filter(({name, point}) => !point && !background.includes(name));
	const few = classes.filter(({count}) => count < FEWEST);
	const nLabelled = `${labelled.length} of ${videosOf(videos.length)} labelled.`;
	const label = (text, ...reasons) => ({text, reasons, isLabelling: true});
	if (isBusy(training)) return label("Label more videos while the model trains.", nLabelled);
	if (labelled.length < 2) {
		const text = labelled.length ? "Label one more video." : "Label two videos.";
		return label(text, nLabelled, "A model learns from one video and is tested on a different one.");
	}
	if (few.length) {
		const counts = few.map(({name, count}) => `${name} (${count})`);
		const reason = `These classes have fewer than ${FEWEST} segments, so a model rarely finds them: ${listed(counts)}.`;
		return label(`Label more of ${listed(few.map(({name}) => name))}.`, reason);
	}
	if (!Object.keys(runs).length) {
		const reasons = [nLabelled, `Each class has at least ${FEWEST} segments.`];
		return {text: "Train a new model.", reasons, isLabelling: false};
	}
	if (started.length) {
		return label("Answer the questions under What is this?", `${videosOf(started.length)} labelled in part.`,
			"One answer labels a whole group of similar stretches.");
	}
	if (unlabelled.length && model.exists) {
		return label("Check the drafts under What next.", `${videosOf(unlabelled.length)} unlabelled.`,
			"The least certain drafts come first, because the model learns most from them.");
	}
	if (unlabelled.length) return label("Label more videos.", `${videosOf(unlabelled.length)} unlabelled.`);
	return {text: "Train a new model on all labels.", reasons: ["All videos are labelled."], isLabelling: false};
}

export function NextStep() {
	const {text, reasons, isLabelling} = nextStep(state.project);
	return html`<section aria-labelledby="next-step" id="next-step-box">
		<h2 id="next-step">${text}</h2>
		<p class="hint" id="next-reasons">${reasons.join(" ")}</p>
		${isLabelling && html`<button type="button" class="main" id="go-label" onClick=${() => showPanel("label")}>Go to the videos</button>`}
	</section>`;
}
