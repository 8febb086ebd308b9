// The finished video: played, stepped through frame by frame, saved; its recipe.

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { downloads, path } from "./jobs.js";
import { button, iconButton, openDialog, problem, toast } from "./parts.js";

export function player(job) {
	const video = h("video", {
		src: job.output_video_url, poster: job.poster_url, controls: true, playsinline: true, preload: "metadata",
		dataset: { testid: "final-video" }, "aria-label": "The finished video", width: job.width, height: job.height,
	});
	const frames = h("span", { class: "muted small mono" });
	const total = () => Math.round(video.duration * job.fps) || 1;
	const frame = () => Math.min(Math.floor(video.currentTime * job.fps + 0.01), total() - 1);
	const tell = () => say(frames, `Frame ${frame() + 1}${video.duration ? ` of ${total()}` : ""}`);
	const step = (by) => {
		video.pause();
		video.currentTime = Math.max(0, Math.min(video.duration || 0, (frame() + by + 0.5) / job.fps));
	};
	for (const event of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(event, tell);
	return h("section", { class: "player", "aria-label": "Video" }, video, h("div", { class: "row spread controls" },
		h("div", { class: "row" }, iconButton("Previous frame", "back", { class: "small", onclick: () => step(-1) }),
			iconButton("Next frame", "forward", { class: "small", onclick: () => step(1) }), frames),
		h("div", { class: "row" }, saves(job))));
}

/** The links that save files; the video's is last, and stands out. */
function saves(job) {
	const [video, ...others] = downloads(job);
	const link = ({ label, url, name }, classes, words) =>
		h("a", { class: `button ${classes}`, href: url, download: name }, words ?? label);
	return [
		...others.map((file) => link(file, "small quiet")),
		button("Recipe", { class: "small quiet", onclick: () => showRecipe(job) }, "file"),
		video && link(video, "primary small", "Download"),
	];
}

/** What determines the video, to read, copy or save. */
async function showRecipe(job) {
	try {
		const text = JSON.stringify(await get(`${path(job)}/recipe`), null, 2);
		const copy = async () => { await navigator.clipboard.writeText(text); toast("The recipe was copied"); };
		openDialog("Recipe", h("pre", { class: "recipe mono", tabindex: 0 }, text), {
			size: "broad",
			foot: [navigator.clipboard && button("Copy", { onclick: copy }, "copy"),
				h("a", { class: "button", href: `${path(job)}/recipe`, download: `${job.id}_recipe.json` }, "Save as a file")],
		});
	} catch (error) {
		openDialog("Recipe", problem(error));
	}
}
