// A job in the gallery: its poster, which plays while one looks at it, its words, and what can be done with it.

import { h, icon } from "./dom.js";
import { address, canRetry, downloads, duplicate, removeJob, retry, titleOf } from "./jobs.js";
import { calm, count, duration, iconButton, progressBar, statusBadge, timeElement, toast } from "./parts.js";
import { posterOf } from "./poster.js";

/** `gone` is called once the job was deleted. */
export function makeItem(job, gone) {
	const title = titleOf(job);
	const poster = posterOf(job);
	const element = h("li", {
		class: "card gallery-item", dataset: { testid: "gallery-item", status: job.status, jobId: job.id },
	}, h("a", { class: "frame", href: address(job), tabindex: -1, "aria-hidden": "true" }, poster),
	h("div", { class: "about" },
		h("h2", { class: "clamp" }, h("a", { href: address(job), dataset: { action: "open" } }, title)),
		job.user_prompt !== title && h("p", { class: "muted small clamp" }, job.user_prompt),
		job.status === "processing" && running(job),
		job.status === "failed" && h("p", { class: "wrong clamp" }, job.error_message),
		h("p", { class: "muted small" }, timeElement(job.created_at), facts(job))),
	h("div", { class: "row spread" }, statusBadge(job), actions(job, title, gone)));
	if (job.output_video_url) playWhile(element, poster, job.output_video_url);
	return element;
}

function running(job) {
	const bar = progressBar(`Progress: ${titleOf(job)}`, job.progress_percentage);
	return [h("p", { class: "small" }, job.current_step), bar.element];
}

function facts(job) {
	const shots = job.storyboard?.shots ?? [];
	const length = shots.reduce((sum, shot) => sum + shot.duration_seconds, 0);
	const took = job.status === "completed" ? (new Date(job.ended_at) - new Date(job.started_at)) / 1000 : 0;
	const known = [
		shots.length > 0 && count(shots.length, "shot"), length > 0 && `${duration(length)} long`,
		took >= 1 && `made in ${duration(took)}`, job.model_id, job.parent_id && "a later version",
	];
	return known.filter(Boolean).map((fact) => ` · ${fact}`).join("");
}

function actions(job, title, gone) {
	const act = (name, label, iconName, does) => iconButton(`${label}: ${title}`, iconName, {
		class: "small", dataset: { action: name }, title: label, onclick: does,
	});
	const video = downloads(job).find(({ url }) => url === job.output_video_url);
	return h("div", { class: "row actions" },
		canRetry(job) && act("retry", "Retry", "retry", () => retry(job).catch(({ detail }) => toast(detail))),
		act("duplicate", "Duplicate", "copy", () => duplicate(job)),
		video && h("a", {
			class: "button square quiet small", href: video.url, download: video.name, dataset: { action: "download" },
			"aria-label": `Download: ${title}`, title: "Download",
		}, icon("download")),
		act("delete", "Delete", "trash", () => removeJob(job, gone)));
}

/** Play the video in the poster, without sound, while the pointer or the keyboard's focus is on the item. */
function playWhile(element, poster, url) {
	let video = null;
	const begin = () => {
		if (video || calm.matches) return;
		video = h("video", { src: url, loop: true, playsinline: true, tabindex: -1 });
		video.muted = true;
		poster.append(video);
		video.play().catch(() => {});    // it was left before it began
	};
	const end = () => {
		if (element.matches(":hover, :focus-within")) return;
		video?.remove();
		video = null;
	};
	for (const name of ["pointerenter", "focusin"]) element.addEventListener(name, begin);
	for (const name of ["pointerleave", "focusout"]) element.addEventListener(name, () => requestAnimationFrame(end));
}
