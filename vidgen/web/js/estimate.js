// What a job will take: the answer of a dry run, in words.

import { fill, h } from "./dom.js";
import { bytes, count, duration, factList, money, tellProblem, time } from "./parts.js";

/** The panel, and what can be shown in it: a dry run's answer, with `isWritten` where the storyboard is. */
export function estimatePanel() {
	const place = h("div");
	const element = h("section", { class: "stack tight", "aria-label": "What it will take" }, h("h2", {}, "What it will take"), place);
	return {
		element,
		idle: () => put(place, h("p", { class: "muted small" }, "Write a prompt, and this says how long it takes before anything runs.")),
		wait: () => place.setAttribute("aria-busy", "true"),
		show: (said) => show(place, said),
		refuse: (error, fields) => {
			place.removeAttribute("aria-busy");
			tellProblem(place, error, fields);
		},
	};
}

function put(place, ...children) {
	place.removeAttribute("aria-busy");
	fill(place, ...children);
}

function show(place, said) {
	const [large, small] = headline(said);
	put(place,
		h("p", { class: "headline" }, h("strong", {}, large), h("span", { class: "muted small" }, small)),
		factList(facts(said)),
		said.fit_note && h("p", { class: said.fits ? "note warn small" : "wrong" }, said.fit_note));
}

function headline({ seconds, source, price_usd: price }) {
	if (seconds !== null) return [`About ${duration(seconds)}`, source === "measured" ? "as measured on this machine" : "estimated"];
	if (price !== null) return [money(price), "how long it takes is not known yet"];
	return ["Not known yet", "this model has not run here before"];
}

function facts(said) {
	const { effective: is, mode, peak_vram_bytes: peak } = said;
	const shots = said.isWritten ? count(said.num_shots, "shot")
		: `${said.num_shots > 1 ? "up to " : ""}${count(said.num_shots, "shot")} of ${duration(is.num_frames / is.fps)}`;
	return [
		["Starts", starts(said)],
		["Ready", said.estimated_start !== null && said.eta_seconds !== null && `about ${time(Date.now() + said.eta_seconds * 1000)}`],
		["Makes", `${shots}, ${is.width} × ${is.height}, ${is.fps} frames a second`],
		["Keyframes", said.keyframe_model_id && `drawn by ${said.keyframe_model_id}`],
		["Memory", peak !== null && `${bytes(peak)} at most${mode ? `, loaded as “${mode.replaceAll("_", " ")}”` : ""}`],
		["Price", price(said)],
	];
}

const price = ({ price_usd: dollars, seconds }) => dollars !== null && seconds !== null && dollars > 0 && money(dollars);

function starts({ position, wait_seconds: wait }) {
	if (wait === null) return `when the queue gets to it; place ${position}`;
	return wait < 1 ? "at once" : `in about ${duration(wait)}; place ${position} in the queue`;
}
