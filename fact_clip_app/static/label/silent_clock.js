/* A clock that plays if there is no video. The timeline and the keys use it in the same way as a video. */

const TICK = 40; // milliseconds between two events of a playing clock

export class SilentClock extends EventTarget {
	#end;
	#seconds = 0; // the cursor when the clock last started or stopped
	#since = null; // milliseconds at which it started, or null while it stands still
	#rate = 1;
	#timer = null;

	constructor(end) {
		super();
		this.#end = end;
	}

	get paused() {
		return this.#since === null;
	}

	get currentTime() {
		const played = this.paused ? 0 : (performance.now() - this.#since) / 1000 * this.#rate;
		return Math.min(this.#seconds + played, this.#end);
	}

	set currentTime(seconds) {
		this.#seconds = Math.min(Math.max(seconds, 0), this.#end);
		if (!this.paused) this.#since = performance.now();
		this.dispatchEvent(new Event("seeked"));
	}

	get playbackRate() {
		return this.#rate;
	}

	set playbackRate(rate) {
		this.#seconds = this.currentTime;
		if (!this.paused) this.#since = performance.now();
		this.#rate = rate;
	}

	async play() {
		if (!this.paused) return;
		if (this.#seconds >= this.#end) this.#seconds = 0;
		this.#since = performance.now();
		this.#timer = setInterval(() => this.#tick(), TICK);
		this.dispatchEvent(new Event("play"));
	}

	pause() {
		if (this.paused) return;
		this.#seconds = this.currentTime;
		this.#since = null;
		clearInterval(this.#timer);
		this.dispatchEvent(new Event("pause"));
	}

	#tick() {
		this.dispatchEvent(new Event("timeupdate"));
		if (this.currentTime >= this.#end) this.pause();
	}
}
