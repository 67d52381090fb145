/* What timeline.js and painter.js share: colours, times as text, searches in ordered lists, and the time scale. */
const TimelineTools = (() => {
	const {max, min, abs, floor} = Math;

	const clamp = (value, low, high) => min(max(value, low), high);

	const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

	const mix = (one, other, share) => one.map((part, at) => part * (1 - share) + other[at] * share);

	const css = (parts, alpha = 1) => `rgb(${parts.map(Math.round).join(" ")} / ${alpha})`;

	function luminance(parts) { // as WCAG defines it, 0..1
		const [red, green, blue] = parts.map((part) => {
			const value = part / 255;
			return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
	}

	// of black and white the one with the higher contrast, which is always above 4.5
	const inkOn = (parts) => luminance(parts) < 0.179 ? "#fff" : "#000";

	function clock(time, digits = 2, unit = "s") { // minutes and hours are those of seconds alone
		const rounded = Number(time.toFixed(digits));
		if (rounded < 60 || unit !== "s") return time.toFixed(digits);
		const seconds = (rounded % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
		const minutes = floor(rounded / 60);
		if (minutes < 60) return `${minutes}:${seconds}`;
		return `${floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${seconds}`;
	}

	function node(tag, className, parent, attributes = {}) {
		const made = document.createElement(tag);
		made.className = className;
		for (const key in attributes) made.setAttribute(key, attributes[key]);
		parent.append(made);
		return made;
	}

	function lastWhere(count, isBefore) { // the last place of an ordered list where this holds, or -1
		let low = -1;
		let high = count - 1;
		while (low < high) {
			const middle = (low + high + 1) >> 1;
			if (isBefore(middle)) low = middle;
			else high = middle - 1;
		}
		return low;
	}

	// the last segment that starts at this time or before it, or -1
	const lastStart = (segments, time) => lastWhere(segments.length, (at) => segments[at].start <= time + 1e-9);

	function nearest(times, time) { // place of the time that is nearest
		const at = max(lastWhere(times.length, (place) => times[place] <= time), 0);
		return abs(times[at + 1] - time) < abs(times[at] - time) ? at + 1 : at;
	}

	const isInstant = ({start, stop}) => stop - start < 1e-9;

	function find(segments, time) { // the segment at a time, or -1
		const at = lastStart(segments, time);
		if (at < 0) return -1;
		const {start, stop} = segments[at];
		return time + 1e-9 < stop || time - start < 1e-9 ? at : -1;
	}

	/* Copies of segments: all, with their places in the list; those with a length; and instants, which lie above them. */
	function layers(segments) {
		const all = segments.map((one, index) => ({...one, index}));
		return {segments: all, spans: all.filter((one) => !isInstant(one)), instants: all.filter(isInstant)};
	}

	function edgesNear(segments, time) { // the edges on both sides of a time
		const at = lastStart(segments, time);
		const edges = [];
		for (const one of segments.slice(max(at, 0), at + 2)) edges.push(one.start, one.stop);
		return edges;
	}

	/* From seconds to pixels: the visible part, `from` to `to`, lies between the names and the right margin. */
	class Scale {
		constructor(duration) {
			this.duration = duration;
			this.from = 0;
			this.to = duration;
			this.width = 600;
			this.left = 0;
		}

		get span() {
			return this.to - this.from;
		}

		get right() {
			return this.width - 8;
		}

		get pixel() { // in seconds
			return this.span / (this.right - this.left);
		}

		x(time) {
			return this.left + (time - this.from) / this.pixel;
		}

		time(x) {
			return this.from + (x - this.left) * this.pixel;
		}

		show(start, stop) {
			const span = clamp(stop - start, min(0.4, this.duration), this.duration);
			this.from = clamp(start, 0, this.duration - span);
			this.to = this.from + span;
		}
	}

	return {clamp, rgb, mix, css, inkOn, clock, node, lastStart, nearest, isInstant, find, layers, edgesNear, Scale};
})();
