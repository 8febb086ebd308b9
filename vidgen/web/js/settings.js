// What can be set of a job beside its prompt: drawn anew from the answer of the chosen model.

import { h } from "./dom.js";
import { checkField, numberField, rangeField, schemaFields, seedField, selectField, setter, textArea } from "./form.js";
import { makesImages } from "./modelpicker.js";

const NUMBERS = [
	["width", "Width"], ["height", "Height"], ["num_frames", "Frames a shot"], ["fps", "Frames a second"], ["num_inference_steps", "Steps"],
];

/** The fields for `model`, which change the draft; `redraw` is called where others follow from what was changed. */
export function settings(draft, model, models, onchange, redraw) {
	const { capabilities: can } = model;
	const own = schemaFields(model.parameters, draft.parameters, "parameters", onchange);
	const set = setter(draft, onchange);
	return [
		h("h2", {}, "Size and length"),
		h("div", { class: "fields" }, can.sizes && sizeField(draft, can, onchange), numbers(draft, can, onchange)),
		h("h2", {}, "Model's own parameters"),
		own.length ? h("div", { class: "fields" }, own) : h("p", { class: "small muted" }, "This model has none."),
		can.supports_negative_prompt && textArea({ name: "negative_prompt", label: "Negative prompt", hint: "What must not be seen" },
			draft.negative_prompt, set("negative_prompt"), { rows: 2 }),
		h("details", { open: draft.more, ontoggle: (event) => { draft.more = event.target.open; } },
			h("summary", {}, "More"), h("div", { class: "fields" }, more(draft, model, models, set, onchange, redraw))),
	];
}

function sizeField(draft, can, onchange) {
	const own = `${can.width.default} ${can.height.default}`;
	const choices = can.sizes.map(([width, height]) => {
		const value = `${width} ${height}`;
		return [value, `${width} × ${height}${value === own ? " (default)" : ""}`];
	});
	const chosen = ["width", "height"].map((name) => draft.numbers[name] || can[name].default).join(" ");
	return selectField({ name: "width", label: "Size" }, choices, chosen, (value) => {
		[draft.numbers.width, draft.numbers.height] = value === own ? ["", ""] : value.split(" ");
		onchange();
	});
}

function numbers(draft, can, onchange) {
	const set = setter(draft.numbers, onchange);
	return NUMBERS.slice(can.sizes ? 2 : 0).filter(([name]) => can[name])
		.map(([name, label]) => rangeField({ name, label }, can[name], draft.numbers[name] ?? "", set(name)));
}

function more(draft, model, models, set, onchange, redraw) {
	const stills = models.filter((one) => one.is_available && makesImages(one));
	const keyframes = model.capabilities.supports_image_to_video && stills.length > 0;
	const still = models.find(({ id }) => id === (draft.keyframe_model_id || model.keyframe_model));
	const drawn = keyframes && still ? schemaFields(still.parameters, draft.keyframe_parameters, "keyframe_parameters", onchange) : [];
	return [
		selectField({ name: "continuity", label: "Continuity", wide: true }, [
			["independent", "Every shot by itself"], ["chain", "Each shot goes on from the one before"],
		], draft.continuity, set("continuity")),
		keyframes && selectField({ name: "keyframe_model_id", label: "Keyframe model" },
			[["", model.keyframe_model ? `Its own choice: ${model.keyframe_model}` : "None"], ...stills.map(({ id, name }) => [id, name])],
			draft.keyframe_model_id, (id) => { Object.assign(draft, { keyframe_model_id: id, keyframe_parameters: {} }); onchange(); redraw(); }),
		drawn.length > 0 && h("details", { class: "wide" }, h("summary", {}, "Keyframe parameters"), h("div", { class: "fields" }, drawn)),
		selectField({ name: "fit", label: "Short of memory", hint: "Whether the video may then change a little" },
			[["exact", "Exact"], ["adapt", "Adapt"]], draft.fit, set("fit")),
		numberField({ name: "priority", label: "Priority", hint: "-10 to 10; the higher goes first" }, draft.priority,
			set("priority"), { min: -10, max: 10, step: 1, placeholder: 0 }),
		checkField({ name: "save_frames", label: "Keep the lossless frames", hint: "A zip of PNGs for each shot, for measuring" },
			draft.save_frames, set("save_frames")),
	];
}

export function aspectOf(draft, can) {
	const value = (name) => Number(draft.numbers[name]) || can?.[name]?.default || 1;
	return value("width") / value("height");
}

export const jobSeedField = (draft, onchange) => seedField({
	name: "seed", label: "Seed", hint: draft.storyboard?.shots.some(({ seed }) => seed !== "") ? "Shots of the storyboard have their own" : null,
}, draft.seed, setter(draft, onchange)("seed"));
