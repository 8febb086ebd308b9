// The fields of one shot, as the storyboard, the edit dialog and a new shot have them.

import { h } from "./dom.js";
import { numberField, schemaFields, seedField, selectField, setter, textArea, words } from "./form.js";
import { button } from "./parts.js";
import { dropped, fileInput, imageSlot } from "./reference.js";

const CAMERA_MOVES = ["static", "pan_left", "pan_right", "tilt_up", "tilt_down", "push_in", "pull_out", "orbit"];

/**
 * Fields that change `shot`, which is as draft.js has it. Without `model` what depends on it is left out; `parameters`
 * are the job's, which the shot's own differ from; `prefix` is that of the fields' names, with its dot.
 */
export function shotFields(shot, { model, parameters = {}, prefix = "", onchange = () => {} }) {
	const set = setter(shot, onchange);
	const options = (name, label) => ({ name: `${prefix}${name}`, label });
	const moves = CAMERA_MOVES.map((move) => [move, words(move)]);
	const own = model ? schemaFields(withDefaults(model.parameters, parameters), shot.parameters, `${prefix}parameters`, onchange) : [];
	return h("div", { class: "fields shot-fields" },
		textArea(options("description", "Description"), shot.description, set("description"), { rows: 3 }),
		selectField(options("camera_move", "Camera move"), moves, shot.camera_move, set("camera_move")),
		numberField({ ...options("duration_seconds", "Duration"), hint: "Seconds" }, shot.duration_seconds,
			set("duration_seconds"), { min: 0, max: 60, step: 0.1, placeholder: "Model's own" }),
		seedField(options("seed", "Seed"), shot.seed, set("seed"), { placeholder: "Job's" }),
		(!model || model.capabilities.supports_image_to_video) && keyframe(shot, prefix, onchange),
		own.length > 0 && h("details", { class: "wide" }, h("summary", {}, "Parameters of this shot"),
			h("div", { class: "fields" }, own)));
}

/** The schema, with these values as what holds where nothing is given. */
const withDefaults = ({ properties }, values) => ({ properties: Object.fromEntries(Object.entries(properties)
	.map(([name, rule]) => [name, { ...rule, default: values[name] ?? rule.default }])) });

/** The first image of the shot: an upload, or what it is drawn from; one of the two. */
function keyframe(shot, prefix, onchange) {
	const name = `${prefix}keyframe_image`;
	const slot = imageSlot(shot, name, () => (shot.keyframe_image ? given() : asked()), ({ file_id: id, thumbnail }) => {
		Object.assign(shot, { keyframe_image: id, keyframe_thumbnail: thumbnail, keyframe_prompt: "" });
		onchange();
	});

	function given() {
		const drop = () => { Object.assign(shot, { keyframe_image: "", keyframe_thumbnail: null }); onchange(); slot.draw(); };
		return h("div", { class: "row", id: `${name}-given`, dataset: { field: name } },
			shot.keyframe_thumbnail && h("img", { class: "thumbnail", src: shot.keyframe_thumbnail, alt: "The keyframe" }),
			h("span", { class: "small muted grow" }, "Starts from your image"),
			button("Remove keyframe", { class: "small quiet", onclick: drop }, "close"));
	}

	const asked = () => [
		fileInput("Keyframe", name, (file) => slot.take(file), "An image that the shot starts from: drop or choose a PNG, JPEG or WebP"),
		textArea({ name: `${prefix}keyframe_prompt`, label: "Keyframe prompt", hint: "Or what it is drawn from, instead of the description" },
			shot.keyframe_prompt, setter(shot, onchange)("keyframe_prompt"), { rows: 2 }),
	];

	slot.draw();
	return h("details", { class: "wide", open: Boolean(slot.file || shot.keyframe_image || shot.keyframe_prompt) },
		h("summary", {}, "First image"), h("div", dropped(slot.take), slot.place));
}
