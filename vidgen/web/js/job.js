// One job, live: its storyboard as cards, how far it is, its notes, then its video; and all that can be done with it.

import { Arrangement } from "./arrange.js";
import { announce, arrange, fill, h, say } from "./dom.js";
import { editShot } from "./edit.js";
import { words } from "./form.js";
import { address, cancel, canRetry, duplicate, hasEnded, readJob, removeJob, retry, titleOf } from "./jobs.js";
import { follow } from "./live.js";
import { button, count, duration, empty, factList, money, problem, progressBar, statusBadge, tellProblem, time, timeElement, waitForServer } from "./parts.js";
import { player } from "./player.js";
import { ShotCard } from "./shots.js";
import { mountVersions } from "./versions.js";

const REFRESH_MS = 1500;
const SOON_MS = 60;
const RETRY_MS = 3000;
const TICK_MS = 1000;
const NOTES = 100;

export function show(root, params) {
	const view = new JobView(root, params.id);
	view.begin();
	return () => view.end();
}

class JobView {
	constructor(root, id) {
		this.root = root;
		this.id = id;
		this.cards = new Map();
		this.progress = new Map();
		this.notes = [];
		this.head = h("div", { class: "stack head" });
		this.said = h("div");
		this.trouble = h("div");    // why the job cannot be read
		this.bar = progressBar("Progress of the job", 0, "large");
		this.step = h("p", { class: "step" });
		this.rest = h("p", { class: "muted" });
		this.running = h("section", { class: "card stack tight running", "aria-label": "Progress" },
			h("div", { class: "row spread" }, this.step, this.rest), this.bar.element);
		this.stage = h("div");
		this.shots = h("ol", { class: "grid shots" });
		this.arrange = new Arrangement(() => this.job, this.shots, () => this.drawShots());
		this.board = h("section", { class: "stack", "aria-label": "Storyboard" },
			h("div", { class: "row spread" }, h("h2", {}, "Storyboard"), this.arrange.bar), this.shots);
		this.log = h("ul", { class: "notes small" });
		this.aside = h("aside", { class: "stack", "aria-label": "About this job" });
		this.versions = h("section", { class: "card stack tight" });
	}

	begin() {
		fill(this.root, this.trouble);
		this.ticks = setInterval(() => this.tick(), TICK_MS);
		this.unfollow = follow(this.id, {
			onopen: () => this.refreshSoon(SOON_MS), onmessage: (message) => this.hear(message), onunknown: () => this.lost(),
		});
		this.refresh();
	}

	end() {
		this.isGone = true;
		clearInterval(this.ticks);
		clearTimeout(this.timer);
		this.unfollow?.();
		this.leaveVersions?.();
		waitForServer(this, false);
	}

	lost() {
		const title = "This job is not here";
		this.end();
		document.title = `${title} · vidgen`;
		fill(this.root, h("h1", {}, title), empty("film", "It was deleted, or its address is wrong.",
			h("a", { href: "#/gallery" }, "See all jobs")));
		if (document.activeElement === document.body) this.root.focus();
		announce(title);
	}

	// what comes

	hear(message) {
		if (message.type === "progress") this.heed(message);
		else if (message.type === "note") this.note(message);
		this.refreshSoon(message.type === "progress" && message.step === this.stepNow ? REFRESH_MS : SOON_MS);
		if (message.type === "progress") this.stepNow = message.step;
	}

	/** A progress message: shown at once, between two readings of the job. */
	heed(message) {
		this.last = { ...message, at: Date.now() };
		this.progress.set(message.shot_id, message);
		this.cards.get(message.shot_id)?.progress(message);
		if (this.job) this.drawProgress();
	}

	note({ message }) {
		this.notes = [...this.notes, message].slice(-NOTES);
		this.drawNotes();
	}

	refreshSoon(ms) {
		if (this.isGone || (this.timer && this.due <= Date.now() + ms)) return;
		clearTimeout(this.timer);
		this.due = Date.now() + ms;
		this.timer = setTimeout(() => this.refresh(), ms);
	}

	/** Read the job: one reading after the other, so that no older answer is shown over a newer one. */
	async refresh() {
		this.timer = null;
		if (this.isReading) return this.refreshSoon(SOON_MS);
		this.isReading = true;
		try {
			const job = await readJob(this.id);
			if (!this.isGone) this.take(job);
		} catch (error) {
			if (!this.isGone) this.miss(error);
		}
		this.isReading = false;
	}

	take(job) {
		const before = this.job?.status;
		this.job = job;
		waitForServer(this, false);
		fill(this.trouble);
		this.draw();
		if (before && before !== job.status && hasEnded(job)) announce(ending(job));
		if (!hasEnded(job)) this.refreshSoon(REFRESH_MS);    // no message tells of keyframes, previews and the place in the queue
	}

	miss(error) {
		if (error.status === 404) return this.lost();
		waitForServer(this, error.status === 0);
		if (error.status !== 0) tellProblem(this.trouble, error);
		this.refreshSoon(RETRY_MS);
	}

	// what is seen

	draw() {
		const { job } = this;
		if (!this.head.isConnected) {
			fill(this.root, this.trouble, h("div", { class: "job" }, this.head,
				h("div", { class: "stack" }, this.said, this.running, this.stage, this.board), this.aside));
		}
		document.title = `${hasEnded(job) ? "" : `${Math.round(job.progress_percentage)} % · `}${titleOf(job)} · vidgen`;
		const state = `${job.status}${titleOf(job)}${job.sheet_url}`;
		if (state !== this.state) {
			this.state = state;
			this.drawHead();
			this.drawAside();
			fill(this.stage, job.output_video_url ? player(job) : null);
			this.leaveVersions?.();
			this.leaveVersions = mountVersions(this.versions, job);
		}
		this.drawProgress();
		this.drawShots();
	}

	drawHead() {
		const { job } = this;
		const hadFocus = this.head.contains(document.activeElement);
		fill(this.said, job.status === "failed" && problem(job.error_message));
		fill(this.head,
			h("div", { class: "row muted small" }, statusBadge(job), job.model_id, " · ", timeElement(job.created_at)),
			h("div", { class: "row spread" }, h("h1", { class: "grow clamp", title: titleOf(job) }, titleOf(job)), h("div", { class: "row" }, this.actions())));
		if (hadFocus) this.head.querySelector("button").focus();
	}

	actions() {
		const { job } = this;
		return [
			!hasEnded(job) && button("Cancel", { onclick: () => this.attempt(() => cancel(job)) }, "stop"),
			canRetry(job) && button("Retry", { class: "primary", onclick: () => this.attempt(() => retry(job)) }, "retry"),
			button("Duplicate", { onclick: () => duplicate(job) }, "copy"),
			button("Delete", { class: "quiet danger", onclick: () => removeJob(job, () => { location.hash = "#/gallery"; }) }, "trash"),
		];
	}

	async attempt(action) {
		fill(this.said);
		try {
			await action();
			this.refreshSoon(SOON_MS);
		} catch (error) {
			fill(this.said, problem(error));
		}
	}

	drawProgress() {
		const { job, last, percent } = this;
		this.running.hidden = hasEnded(job);
		if (hasEnded(job)) return;
		say(this.step, job.status === "queued" ? waits(job) : (last?.message ?? job.current_step));
		this.bar.set(percent, `${Math.round(percent)} percent: ${last?.step ?? job.current_step}`);
		this.tick();
		if (last && last.step !== this.told) announce(last.step);
		this.told = last?.step;
	}

	/** The time that is left, counted down between two messages. */
	tick() {
		if (!this.job || hasEnded(this.job)) return;
		const { eta_seconds: eta, at } = this.last ?? { eta_seconds: this.job.eta_seconds, at: Date.now() };
		const left = eta === null || eta === undefined ? null : Math.max(1, Math.round(eta - (Date.now() - at) / 1000));
		say(this.rest, `${left === null ? "" : `about ${duration(left)} left · `}${this.percent} %`);
	}

	get percent() {
		return Math.max(this.job.progress_percentage, this.last?.progress ?? 0);
	}

	drawShots() {
		const { job } = this;
		this.board.hidden = !job.storyboard;
		if (!job.storyboard) return;
		this.arrange.draw();
		for (const shot of job.storyboard.shots) this.drawShot(shot);
		if (!this.arrange.isOn) arrange(this.shots, [...this.cards.values()].map(({ element }) => element));
	}

	drawShot(shot) {
		const known = this.cards.get(shot.id);
		if (known) return known.update(this.job, shot);
		const card = new ShotCard(this.job, shot, (now) => editShot(this.job, now));
		const latest = this.progress.get(shot.id);
		if (latest) card.progress(latest);
		return this.cards.set(shot.id, card);
	}

	drawNotes() {
		fill(this.log, this.notes.map((words) => h("li", {}, words)));
		if (this.log.parentElement) this.log.parentElement.hidden = !this.notes.length;
	}

	drawAside() {
		const { job } = this;
		fill(this.aside, this.versions,
			h("section", { class: "card stack tight", "aria-label": "Details" }, h("h2", {}, "Details"),
				h("p", { class: "prompt-text" }, job.user_prompt), factList(details(job))),
			h("section", { class: "card stack tight", "aria-label": "Notes", hidden: true }, h("h2", {}, "Notes"), this.log));
		this.drawNotes();
	}
}

function details(job) {
	return [
		["Model", job.model_id], ["Keyframes", job.keyframe_model_id], ["Seed", String(job.seed)],
		["Size", `${job.width} × ${job.height}`], ["Length", `${count(job.num_frames, "frame")} a shot, ${job.fps} a second`],
		["Steps", job.num_inference_steps], ["Negative prompt", job.negative_prompt],
		["Continuity", job.continuity === "chain" && "each shot goes on from the one before"],
		["Priority", job.priority], ["Took", took(job)], ["Cost", job.usage.cost_usd && money(job.usage.cost_usd)],
		...Object.entries({ ...job.style_preferences, ...job.parameters }).map(([name, value]) => [words(name), value !== null && String(value)]),
		["Version of", job.parent_id && h("a", { href: address({ id: job.parent_id }) }, job.parent_id)],
		["Job", h("span", { class: "mono" }, job.id)],
	];
}

const took = ({ started_at: from, ended_at: to }) => from && to && duration((new Date(to) - new Date(from)) / 1000);

function waits({ position, estimated_start: start }) {
	const place = position === 1 ? "Next in the queue" : `Place ${position} in the queue`;
	return start ? `${place}; starts about ${time(start)}` : place;
}

const ending = (job) => ({
	completed: "The video is ready", failed: `The job failed: ${job.error_message}`, cancelled: "The job was cancelled",
}[job.status]);
