// Which model: those that can run to choose from, the others with the reason.

import { h } from "./dom.js";
import { bytes, count } from "./parts.js";

const GB = 2 ** 30;

const makesVideo = ({ capabilities: can }) => can.supports_text_to_video || can.supports_image_to_video;
export const makesImages = ({ capabilities: can }) => can.supports_text_to_image;

export const choosable = (models) => models.filter((model) => model.is_available && makesVideo(model));

/** The choice among `models`, as the server lists them; `onchange` is given an id. */
export function modelPicker(models, chosen, onchange) {
	const others = models.filter((model) => !model.is_available);
	return h("fieldset", { class: "models field", role: "radiogroup", id: "models", dataset: { field: "model_id" } },
		h("legend", {}, "Model"),
		h("div", { class: "stack tight" }, choosable(models).map((model) => option(model, model.id === chosen, onchange))),
		!choosable(models).length && h("p", { class: "wrong" }, "No model can run now. The reasons are below."),
		others.length > 0 && h("details", { class: "unavailable", open: !choosable(models).length },
			h("summary", { class: "small" }, `${count(others.length, "model")} cannot run now`),
			h("ul", { class: "stack tight" }, others.map(unavailable))));
}

function option(model, checked, onchange) {
	const input = h("input", {
		type: "radio", name: "model", value: model.id, checked, onchange: () => onchange(model.id), id: `model-${model.id}`,
		"aria-describedby": `about-${model.id}`,
	});
	return h("div", { class: "model" }, input,
		h("div", { class: "grow" },
			h("label", { for: input.id }, model.name, " ", h("span", { class: "muted small" }, model.provider)),
			h("div", { class: "about small muted", id: `about-${model.id}` },
				h("p", {}, model.description), h("p", { class: "more" }, facts(model).join(" · ")),
				model.unavailable_reason && h("p", { class: "more" }, model.unavailable_reason)),
			licence(model)));
}

function facts({ capabilities: can, memory_requirements: needs, keyframe_model: keyframe }) {
	const from = can.supports_text_to_video ? (can.supports_image_to_video ? "text or image" : "text") : "an image";
	const drawn = !can.supports_text_to_video && keyframe ? ` (drawn by ${keyframe} where none is given)` : "";
	const [quickest] = needs.modes;
	const memory = quickest ? bytes(quickest.peak_bytes) : needs.vram_gb ? bytes(needs.vram_gb * GB) : null;
	return [`From ${from}${drawn}`, `up to ${count(can.max_frames, "frame")}`, memory && `${memory} of memory`,
		!can.reads_text && "does not read the text itself"].filter(Boolean);
}

function licence({ licence: known }) {
	if (!known) return null;
	const link = /^https:\/\//.test(known.url ?? "");
	return h("p", { class: "small muted more" }, "Licence: ",
		link ? h("a", { href: known.url, target: "_blank", rel: "noopener noreferrer" }, known.name) : known.name);
}

const unavailable = (model) => h("li", { class: "small" }, h("span", {}, model.name), " ",
	h("span", { class: "muted" }, model.provider), h("p", { class: "muted" }, model.unavailable_reason));
