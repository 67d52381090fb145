/* The timelines of a report: a list of videos that can be searched and ordered, each drawn when it comes into view.

`data` as page.js describes it. `tools` are the controls above the list, `list` is its element; `show` brings a predicted segment
into view, `drawAll` draws the timelines for a printer. */
const PageTimelines = ({classes, runs, videos}) => {
	const {make, formatted, difference, isUnseen} = PageParts;
	const several = runs.length > 1;

	/** Return the function from frames to seconds. */
	function clockOf(video) {
		const {step, starts} = video.times;
		return starts ? (frame) => starts[frame] : (frame) => frame * step;
	}

	function segmentsOf(labelRuns, clock, hasConfidence) {
		const segments = [];
		let frame = 0;
		for (let at = 0; at < labelRuns.length; at += hasConfidence ? 3 : 2) {
			const [number, frames, percent] = labelRuns.slice(at, at + 3);
			const one = classes[number - 1];
			segments.push({
				start: clock(frame),
				stop: clock(frame + frames),
				label: one?.name ?? "no label",
				unseen: !!one && isUnseen(one),
				confidence: hasConfidence ? percent / 100 : null,
			});
			frame += frames;
		}
		return segments;
	}

	const colours = Object.fromEntries(classes.map((one) => [one.name, one]));

	const articles = new Map(); // video index -> its article
	const timelines = new Map(); // video index -> its timeline
	const searchWords = new Map(); // video index -> the words that a search looks through

	const ROWS = {p: "prediction", f: "frames", t: "tokens"};

	/** Return the rows of a run that are shown. */
	function kindsOf(run) {
		return Object.keys(ROWS).filter((key) => run?.[key] && (key === "p" || voters.checked));
	}

	function rowTitle(runIndex, key) {
		if (!several) return ROWS[key];
		return key === "p" ? runs[runIndex].title : `${runs[runIndex].title}: ${ROWS[key]}`;
	}

	function rowsOf(video) {
		const clock = clockOf(video);
		const rows = [{name: "truth", segments: segmentsOf(video.truth, clock, false)}];
		video.runs.forEach((run, runIndex) => {
			for (const key of kindsOf(run)) {
				rows.push({name: rowTitle(runIndex, key), segments: segmentsOf(run[key], clock, true)});
			}
		});
		return {rows, duration: clock(video.frames)};
	}

	function predictionRow(video, runIndex) {
		return video.runs.slice(0, runIndex).reduce((sum, run) => sum + kindsOf(run).length, 1);
	}

	function wordsOf(videoIndex) {
		if (!searchWords.has(videoIndex)) {
			const video = videos[videoIndex];
			const asFrame = (frame) => frame;
			const predictions = video.runs.filter(Boolean).flatMap((run) => segmentsOf(run.p, asFrame, true));
			const segments = [...segmentsOf(video.truth, asFrame, false), ...predictions];
			const words = new Set([video.name, ...segments.map(({label}) => label)]);
			searchWords.set(videoIndex, [...words].join("\n").toLowerCase());
		}
		return searchWords.get(videoIndex);
	}

	function timelineOf(videoIndex) {
		if (!timelines.has(videoIndex)) {
			const holder = articles.get(videoIndex).lastElementChild;
			const video = videos[videoIndex];
			holder.style.minHeight = "";
			const options = {...rowsOf(video), colours, label: `Timeline of ${video.name}`, unit: video.times.unit};
			timelines.set(videoIndex, new Timeline(holder, options));
		}
		return timelines.get(videoIndex);
	}

	const watcher = new IntersectionObserver((entries) => {
		for (const entry of entries) {
			if (!entry.isIntersecting) continue;
			watcher.unobserve(entry.target);
			timelineOf(Number(entry.target.dataset.video));
		}
	}, {rootMargin: "400px"});

	const voters = make("input", {type: "checkbox", checked: !several});
	const search = make("input", {
		type: "search", placeholder: "video or action", ariaLabel: "search videos and actions",
	});
	const order = make("select", {ariaLabel: "order"});
	const count = make("span", {className: "soft", role: "status"});
	const list = make("div");

	function articleOf(videoIndex) {
		if (!articles.has(videoIndex)) {
			const video = videos[videoIndex];
			const words = [];
			video.runs.forEach((run, runIndex) => {
				if (!run) return;
				const [accuracy, edit, f1] = run.figures;
				const title = several ? `${runs[runIndex].title}: ` : "";
				words.push(`${title}accuracy ${formatted(accuracy)}, edit ${formatted(edit)}, F1@50 ${formatted(f1)}`);
			});
			const holder = make("div", {});
			holder.style.minHeight = `${32 * (1 + video.runs.length * (voters.checked ? 3 : 1)) + 22}px`;
			const title = make("h3", {}, video.name, ...words.map((word) => make("span", {}, word)));
			const node = make("article", {className: "video"}, title, holder);
			node.dataset.video = videoIndex;
			articles.set(videoIndex, node);
			watcher.observe(node);
		}
		return articles.get(videoIndex);
	}

	const accuracyOf = ([accuracy]) => accuracy;
	const editOf = ([, edit]) => edit;
	const f1Of = ([, , f1]) => f1;

	/** Return the mean of a figure over the runs that have the video, or NaN without a labelled frame. */
	function mean(video, figureOf) {
		const known = video.runs.filter(Boolean).map((run) => figureOf(run.figures)).filter((value) => value != null);
		return known.reduce((sum, value) => sum + value, 0) / known.length;
	}

	const accuraciesOf = (video) => video.runs.map((run) => run?.figures).map((figures) => figures && accuracyOf(figures));

	function accuracyChange(video) {
		const accuracies = accuraciesOf(video);
		const points = difference(accuracies.at(-1), accuracies[0]);
		return points == null ? -1 : Math.abs(points);
	}

	/** Return the order of videos by a figure; those without one come last. */
	function byFigure(figureOf, sign) {
		return (a, b) => {
			const first = mean(a, figureOf);
			const second = mean(b, figureOf);
			return isNaN(first) - isNaN(second) || sign * (first - second);
		};
	}

	const ORDERS = {
		"accuracy, lowest first": byFigure(accuracyOf, 1),
		"accuracy, highest first": byFigure(accuracyOf, -1),
		"edit, lowest first": byFigure(editOf, 1),
		"F1@50, lowest first": byFigure(f1Of, 1),
		name: (a, b) => a.name.localeCompare(b.name),
	};
	if (several) ORDERS["change of accuracy, largest first"] = (a, b) => accuracyChange(b) - accuracyChange(a);

	/** Return the indices of the videos that the search finds, in order. */
	function matchingVideos() {
		const asked = search.value.trim().toLowerCase();
		return [...videos.keys()]
			.filter((videoIndex) => !asked || wordsOf(videoIndex).includes(asked))
			.sort((a, b) => ORDERS[order.value](videos[a], videos[b]));
	}

	function arrange() {
		const videoIndices = matchingVideos();
		list.replaceChildren(...videoIndices.map(articleOf));
		if (!videoIndices.length) {
			list.append(make("p", {}, videos.length ? "No video has such a name or action." : "There are no videos."));
		}
		count.textContent = `${videoIndices.length} of ${videos.length} videos`;
	}

	/** Bring a predicted segment of a video into view. */
	function show(videoIndex, runIndex, segmentIndex) {
		if (!matchingVideos().includes(videoIndex)) search.value = "";
		arrange();
		const timeline = timelineOf(videoIndex);
		articles.get(videoIndex).scrollIntoView({block: "center"});
		timeline.select(predictionRow(videos[videoIndex], runIndex), segmentIndex);
		articles.get(videoIndex).querySelector("canvas").focus({preventScroll: true});
	}

	function drawAll() {
		for (const videoIndex of matchingVideos()) timelineOf(videoIndex).draw(true);
	}

	order.append(...Object.keys(ORDERS).map((name) => make("option", {}, name)));
	order.addEventListener("change", arrange);
	search.addEventListener("input", arrange);
	voters.addEventListener("change", () => {
		timelines.forEach((timeline, videoIndex) => timeline.setRows(rowsOf(videos[videoIndex]).rows));
	});
	arrange();
	const tools = make("div", {className: "tools"}, search, order, make("label", {}, voters, " voters"), count);
	return {tools, list, show, drawAll, clockOf, accuraciesOf};
};
