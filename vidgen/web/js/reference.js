// The reference image: dropped, pasted or picked; sent up at once; where the crop looks is chosen on it.

import { upload } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { showWrong } from "./form.js";
import { button } from "./parts.js";

const THUMBNAIL_PX = 640;
const TYPES = "image/png,image/jpeg,image/webp";
const slots = new WeakMap();    // by draft or shot: where its image stands now, and the `file` that is on its way

/** @param {function(): number} aspect  width by height of the video */
export function referencePicker(draft, onchange, aspect) {
	const drawn = () => (draft.reference ? chosen() : fileInput("Reference image", "reference_image", take));
	const { place, draw, take } = imageSlot(draft, "reference_image", drawn, (image) => {
		Object.assign(draft, { reference: image, focus: [0.5, 0.5] });
		onchange();
	});
	const element = h("div", { class: "reference", ...dropped(take) }, place);

	function chosen() {
		const { filename, file_id: id, width, thumbnail } = draft.reference;
		const drop = () => { draft.reference = null; onchange(); draw(); element.querySelector("input")?.focus(); };
		return h("div", { class: "stack tight", id: "reference-chosen", dataset: { field: "reference_image" } },
			thumbnail ? focusPicker(draft, onchange, aspect) : h("p", { class: "drop muted" }, "The image of the earlier job"),
			h("div", { class: "row spread" },
				h("span", { class: "small muted grow" }, filename ?? id, width ? ` · ${width} × ${draft.reference.height}` : ""),
				button("Remove image", { class: "small quiet", onclick: drop }, "close")));
	}

	draw();
	return { element, draw, take };
}

/**
 * The place of the image of `owner`, a draft or a shot, for the field `name`; `drawn` says what stands there. A file that
 * is taken is sent up, and `keep` given the answer with a thumbnail. Until then the place says so, however often it is
 * made anew, and the form cannot be sent. Of several files the last counts.
 */
export function imageSlot(owner, name, drawn, keep) {
	const slot = slots.get(owner) ?? {};
	const place = h("div", { class: "stack tight" });
	const draw = () => fill(place, slot.file ? sending(name) : drawn());
	slots.set(owner, slot);

	async function take(file) {
		slot.file = file;
		slot.draw();
		const [image, thumbnail] = await Promise.all([upload(file).catch((error) => ({ error })), thumbnailOf(file)]);
		if (slot.file !== file) return;
		slot.file = null;
		if (!image.error) keep({ ...image, thumbnail });
		slot.draw();
		if (image.error) showWrong(slot.place, [{ field: slot.name, message: image.error.detail }]);
		else if (document.activeElement === document.body) slot.place.querySelector("button")?.focus();
	}

	return Object.assign(slot, { name, place, draw, take });
}

const sending = (name) =>
	h("p", { class: "drop muted", role: "status", id: `sending-${name}`, dataset: { field: name, sending: "" } }, "Sending the image…");

/** A file input as a place to drop on. */
export function fileInput(label, name, take, hint = "Drop, paste or choose a PNG, JPEG or WebP, at most 10 MB") {
	const id = `file-${name.replaceAll(".", "-")}`;
	const input = h("input", {
		type: "file", accept: TYPES, id, class: "visually-hidden", dataset: { field: name }, "aria-describedby": `${id}-hint`,
		onchange: () => input.files[0] && take(input.files[0]),
	});
	return h("div", { class: "field" }, input, h("div", { class: "drop" }, icon("image"),
		h("label", { for: id }, label), h("span", { class: "hint", id: `${id}-hint` }, hint)));
}

export function dropped(take) {
	const over = (on) => (event) => {
		event.preventDefault();
		event.currentTarget.classList.toggle("over", on);
	};
	return {
		ondragover: over(true), ondragleave: over(false),
		ondrop: (event) => {
			over(false)(event);
			if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
		},
	};
}

/** The image that was pasted, if one was; text from an office program brings a picture of itself along. */
export const pastedImage = ({ clipboardData: { files, types } }) => !(types.includes("text/plain") && types.includes("text/html"))
	&& [...files].find((file) => file.type.startsWith("image/"));

/** A small copy as a data: URL, for showing; null where the browser cannot read the file. */
async function thumbnailOf(file) {
	try {
		const image = await createImageBitmap(file);
		const scale = Math.min(1, THUMBNAIL_PX / Math.max(image.width, image.height));
		const canvas = h("canvas", { width: Math.round(image.width * scale), height: Math.round(image.height * scale) });
		canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
		return canvas.toDataURL("image/jpeg", 0.8);
	} catch {
		return null;
	}
}

/** The image with the part that the video shows; a click, or the sliders, move that part. */
function focusPicker(draft, onchange, aspect) {
	const { width, height, thumbnail } = draft.reference;
	const frame = h("div", { class: "crop" });
	const image = h("div", { class: "focus", onclick: (event) => set(shares(event, image)) },
		h("img", { src: thumbnail, alt: "The reference image" }), frame);
	const ratio = aspect() / (width / height);
	const kept = [Math.min(1, ratio), Math.min(1, 1 / ratio)];
	const sliders = ["Focus across", "Focus down"].map((label, axis) => slider(label, draft.focus[axis], (share) => {
		set(draft.focus.map((old, at) => (at === axis ? share : old)));
	}));

	function set(focus) {
		draft.focus = focus.map((share) => Math.round(Math.max(0, Math.min(1, share)) * 100) / 100);
		show();
		onchange();
	}

	function show() {
		const corner = draft.focus.map((share, axis) => Math.max(0, Math.min(1 - kept[axis], share - kept[axis] / 2)));
		Object.assign(frame.style, {
			left: `${corner[0] * 100}%`, top: `${corner[1] * 100}%`, width: `${kept[0] * 100}%`, height: `${kept[1] * 100}%`,
		});
		sliders.forEach((one, axis) => { one.lastChild.value = draft.focus[axis]; });
	}

	show();
	const moves = sliders.filter((_, axis) => kept[axis] < 0.995);
	return [image, ...moves, moves.length > 0 && h("p", { class: "hint" }, "The bright part is what the video starts from.")];

	function shares(event) {
		const box = image.getBoundingClientRect();
		return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
	}
}

const slider = (label, value, onchange) => h("label", { class: "slider small" }, label,
	h("input", { type: "range", min: 0, max: 1, step: 0.01, value, oninput: (e) => onchange(Number(e.target.value)) }));
