// Fields of forms: labelled, hinted, drawn from ranges and from JSON Schema; what is wrong is said at its field.

import { fill, h } from "./dom.js";
import { iconButton, problem } from "./parts.js";

const MAX_SEED = 2 ** 32 - 1;
const WRONG = ".wrong[id]";    // what is said at a field

let count = 0;

/** What the field of a name calls with its value. */
export const setter = (values, onchange) => (name) => (value) => { values[name] = value; onchange(); };

/** A control with its label and a hint; `name` is its path in the request, as errors say it, `beside` a button. */
function field({ name, label, control, hint = null, beside = null, wide = false }) {
	control.id = `field-${++count}`;
	control.dataset.field = name;
	const about = hint && h("p", { class: "hint", id: `${control.id}-hint` }, hint);
	if (about) control.setAttribute("aria-describedby", about.id);
	return h("div", { class: `field ${wide ? "wide" : ""} ${control.type}` }, h("label", { for: control.id }, label),
		beside ? h("div", { class: "pair" }, control, beside) : control, about);
}

export const textArea = (options, value, onchange, props = {}) =>
	field({ ...options, wide: true, control: h("textarea", { ...props, value, oninput: (e) => onchange(e.target.value) }) });

export const textField = (options, value, onchange, props = {}) =>
	field({ ...options, control: h("input", { type: "text", ...props, value, oninput: (e) => onchange(e.target.value) }) });

export const numberField = (options, value, onchange, { min, max, step, placeholder = "" }) =>
	textField(options, value, onchange, { type: "number", inputmode: "decimal", min, max, step: step || "any", placeholder });

/** @param {[string, string][]} choices  values and what they are called */
export function selectField(options, choices, value, onchange) {
	const items = choices.map(([each, words]) => h("option", { value: each, selected: each === value }, words));
	return field({ ...options, control: h("select", { onchange: (e) => onchange(e.target.value) }, items) });
}

export function checkField(options, checked, onchange) {
	const control = h("input", { type: "checkbox", checked, onchange: (e) => onchange(e.target.checked) });
	return field({ ...options, control, wide: true });
}

/** A seed, with a dice; empty means random. */
export function seedField(options, value, onchange, props = {}) {
	const dice = iconButton("Another seed", "dice", { onclick: () => {
		const [seed] = crypto.getRandomValues(new Uint32Array(1));
		dice.previousSibling.value = seed;
		onchange(String(seed));
	} });
	return textField({ ...options, beside: dice }, value, onchange, {
		type: "number", min: 0, max: MAX_SEED, step: 1, placeholder: "Random", ...props,
	});
}

/** A number that the model's card bounds. */
export function rangeField(options, range, value, onchange) {
	const hint = `${range.min} to ${range.max}${range.step > 1 ? ` in steps of ${range.step}` : ""}`;
	return numberField({ ...options, hint }, value, onchange, { ...range, placeholder: range.default });
}

/** Fields for a model's own parameters, from their JSON Schema; what is left at its default is taken out of `values`. */
export function schemaFields(schema, values, prefix, onchange) {
	return Object.entries(schema.properties).map(([name, rule]) => {
		const set = (value) => {
			if (value === "" || value === rule.default) delete values[name];
			else values[name] = value;
			onchange();
		};
		return schemaField({ name: `${prefix}.${name}`, label: words(name) }, rule, values[name], set);
	});
}

function schemaField(options, rule, value, set) {
	const named = { ...options, hint: rule.description };
	if (rule.type === "boolean") return checkField(named, value ?? rule.default ?? false, (on) => set(on || rule.default ? on : ""));
	if (rule.enum) return enumField(named, rule, value, set);
	if (rule.type === "string") return textField(named, value ?? "", set, { placeholder: rule.default ?? "" });
	const bounds = { min: rule.minimum, max: rule.maximum, step: rule.type === "integer" ? 1 : "any" };
	const asNumber = (text) => set(text === "" ? "" : Number(text));
	return numberField(named, value ?? "", asNumber, { ...bounds, placeholder: rule.default ?? "" });
}

function enumField(options, rule, value, set) {
	const unset = rule.default === undefined ? [["", "Not set"]] : [];
	const choices = rule.enum.map((each) => [String(each), each === rule.default ? `${each} (default)` : String(each)]);
	const pick = (text) => set(rule.enum.find((each) => String(each) === text) ?? "");
	return selectField(options, [...unset, ...choices], String(value ?? rule.default ?? ""), pick);
}

/** `guidance_scale` as people read it: `Guidance scale`. */
export const words = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

/** Say what is wrong at the fields inside `root`, and no more what was; returns those that have no place here. */
export function showWrong(root, fields) {
	clearWrong(root);
	return fields.filter(({ field: name, message }) => {
		const control = place(root, name);
		if (control) mark(control, message);
		return !control;
	});
}

/** Fields whose text is no number, which a number's control would otherwise pass over. */
export function unreadable(root) {
	return [...root.querySelectorAll("input[type=number]")].filter((control) => control.validity.badInput)
		.map((control) => ({ field: control.dataset.field, message: "must be a number" }));
}

/** What keeps the form from being sent as it stands: text that is no number, an image that is still on its way. */
export function unready(root) {
	return [...unreadable(root), ...[...root.querySelectorAll("[data-sending]")]
		.map((place) => ({ field: place.dataset.field, message: "is still being sent; try again in a moment" }))];
}

export function focusWrong(root) {
	root.querySelector(WRONG)?.parentElement.querySelector("input, select, textarea, button")?.focus();
}

function clearWrong(root) {
	for (const said of root.querySelectorAll(WRONG)) said.remove();
	for (const control of root.querySelectorAll("[aria-invalid]")) {
		control.removeAttribute("aria-invalid");
		const about = (control.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => !id.endsWith("-wrong"));
		if (about.join("")) control.setAttribute("aria-describedby", about.join(" "));
		else control.removeAttribute("aria-describedby");
	}
}

/** Say why the form was refused: at its fields, and in `place` what has none. */
export function refuse(root, place, error) {
	const fields = error.fields ?? [];
	const left = showWrong(root, fields);
	fill(place, (left.length > 0 || !fields.length) && problem(error, left));
}

/** A form that is sent by Enter in a field, and by Ctrl or ⌘ + Enter anywhere. */
export const sendable = (submit, props, ...children) => h("form", {
	novalidate: true, onsubmit: (event) => { event.preventDefault(); submit(); },
	onkeydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit(), ...props,
}, ...children);

/** The control of the field, or of the nearest thing that holds it. */
function place(root, name) {
	for (let at = name; at; at = at.slice(0, Math.max(0, at.lastIndexOf(".")))) {
		const found = root.querySelector(`[data-field="${CSS.escape(at)}"]`);
		if (found) return found;
	}
	return null;
}

function mark(control, message) {
	const id = `${control.id}-wrong`;
	if (document.getElementById(id)) return;
	(control.closest(".field") ?? control).append(h("p", { class: "wrong", id }, message));
	if (control.matches("input, select, textarea, [role=radiogroup]")) {
		control.setAttribute("aria-invalid", "true");
		control.setAttribute("aria-describedby", `${control.getAttribute("aria-describedby") ?? ""} ${id}`.trim());
	}
	for (let at = control.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
}
