// The storyboard as a strip of cards: what each shot is, how far it is, its preview, then its clip.

import { announce, fill, h, icon, say } from "./dom.js";
import { words } from "./form.js";
import { hasEnded } from "./jobs.js";
import { button, calm, duration, iconButton, progressBar, statusBadge } from "./parts.js";

/** One card. `update` shows a later state of the same shot without disturbing what plays or has the focus. */
export class ShotCard {
	/** @param {function(object): void} edit  opens the shot's dialog */
	constructor(job, shot, edit) {
		this.media = h("div", { class: "media" });
		this.media.style.aspectRatio = `${job.width} / ${job.height}`;
		this.bar = progressBar(`Progress of shot ${shot.index + 1}`);
		this.step = h("span", { class: "small muted" });
		this.live = h("div", { class: "stack tight live" }, this.bar.element, this.step);
		this.badge = h("span");
		this.text = h("p", { class: "description" });
		this.facts = h("p", { class: "small muted" });
		this.error = h("p", { class: "wrong" });
		this.tools = h("div", { class: "tools" }, button("Edit", {
			class: "small", "aria-label": `Edit shot ${shot.index + 1}`, onclick: () => edit(this.shot),
		}, "edit"));
		this.element = h("li", { class: "card shot", dataset: { testid: "shot", shotId: shot.id } }, this.media,
			h("div", { class: "row spread" }, h("h3", {}, `Shot ${shot.index + 1}`), this.badge),
			this.live, this.text, this.facts, this.error, this.tools);
		this.update(job, shot);
	}

	update(job, shot) {
		this.shot = shot;
		const before = this.element.dataset.status;
		const isChanged = before !== shot.status;
		this.element.dataset.status = shot.status;
		this.live.hidden = shot.status !== "rendering";
		if (isChanged) fill(this.badge, statusBadge(shot));
		if (isChanged && before && shot.status === "completed") announce(`Shot ${shot.index + 1} is ready`);
		say(this.text, shot.description);
		say(this.facts, [words(shot.camera_move), duration(shot.duration_seconds), `seed ${shot.seed}`].join(" · "));
		say(this.error, shot.error_message ?? "");
		this.show(shot);
		this.tools.hidden = !hasEnded(job);
	}

	progress({ phase, phase_step: at, phase_steps: of, message }) {
		const said = phase ? `${phaseWords(phase)}${of > 1 ? ` ${at} of ${of}` : ""}` : message;
		say(this.step, said);
		this.bar.set(of ? (100 * at) / of : 0, said);
	}

	/** The best picture there is: the clip, the preview of the moment, the keyframe, or none yet. */
	show(shot) {
		const kind = shot.video_url ? "video" : shot.preview_url && shot.status === "rendering" ? "preview" : "keyframe";
		const url = shot[`${kind}_url`];
		if (kind === "preview") return this.preview(url);
		if (this.shown === `${kind} ${url}`) return null;
		this.shown = `${kind} ${url}`;
		const title = `Shot ${shot.index + 1}`;
		return fill(this.media, kind === "video" ? clip(shot, title) : picture(url, `${title}: ${url ? "keyframe" : "no picture yet"}`));
	}

	/** The preview as it is now: loaded beside the old one and swapped in when it is there. */
	preview(url) {
		if (this.isLoading) return;
		this.isLoading = true;
		const image = picture(`${url}?at=${Date.now()}`, `Shot ${this.shot.index + 1}: preview`);
		const done = (isThere) => () => {
			this.isLoading = false;
			if (!isThere || this.shot.status !== "rendering" || this.shot.video_url) return;
			this.shown = "preview";
			fill(this.media, image, h("span", { class: "badge plain over-media" }, "Preview"));
		};
		image.addEventListener("load", done(true));
		image.addEventListener("error", done(false));
	}
}

const phaseWords = (phase) => ({ load: "Loading the model", render: "Step" }[phase] ?? words(phase));

const picture = (url, alt) => (url ? h("img", { src: url, alt }) : h("div", { class: "no-picture" }, icon("image")));

/** The clip in a muted loop, with a button that stops it. */
function clip(shot, title) {
	const video = h("video", {
		src: shot.video_url, poster: shot.poster_url, loop: true, playsinline: true, preload: "metadata",
		"aria-label": `${title}: clip`, tabindex: -1,
	});
	video.muted = true;
	video.autoplay = !calm.matches;
	const toggle = iconButton("", "pause", { class: "small over-media", onclick: () => (video.paused ? video.play() : video.pause()) });
	const tell = () => {
		toggle.setAttribute("aria-label", `${video.paused ? "Play" : "Pause"} ${title.toLowerCase()}`);
		fill(toggle, icon(video.paused ? "play" : "pause"));
	};
	for (const event of ["play", "pause"]) video.addEventListener(event, tell);
	tell();
	return [video, toggle];
}
