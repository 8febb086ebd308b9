// The gallery's filters. They stand in the address too, so that a reload and a link keep them.

import { get } from "./api.js";
import { h } from "./dom.js";
import { selectField, textField } from "./form.js";
import { statusWord } from "./parts.js";

const TYPING_MS = 250;
const ALL = ["", "All"];
const STATUSES = ["queued", "processing", "completed", "failed", "cancelled"];
const ORDERS = [["", "Newest first"], ["oldest", "Oldest first"]];

/** The form; `params` are the filters that the address names. */
export function makeFilters(params, changed) {
	const values = { q: "", status: "", model_id: "", order: "" };
	for (const name of Object.keys(values)) values[name] = params[name] ?? "";
	let timer = 0;
	const set = (some) => {
		Object.assign(values, some);
		remember(values);
		changed();
	};
	const typed = (text) => {
		clearTimeout(timer);
		timer = setTimeout(() => text.trim() !== values.q && set({ q: text.trim() }), TYPING_MS);
	};
	const select = (name, label, choices) =>
		selectField({ name, label }, choices, values[name], (value) => set({ [name]: value }));
	const search = textField({ name: "q", label: "Search" }, values.q, typed, {
		type: "search", maxlength: 200, placeholder: "Words in the prompt",
	});
	const model = select("model_id", "Model", [ALL]);
	const status = select("status", "Status", [ALL, ...STATUSES.map((each) => [each, statusWord(each)])]);
	const controls = [search, status, model, select("order", "Order", ORDERS)].map(controlOf);
	get("/api/v1/models").then(({ models }) => {
		controlOf(model).append(...models.map(({ id, name, provider }) =>
			h("option", { value: id, selected: id === values.model_id }, `${name} (${provider})`)));
	}, () => {});    // no models to choose from, then; the list itself says what is wrong
	return {
		values, first: controls[0],
		element: h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
			controls.map((control) => control.parentElement)),
		areSet: () => Boolean(values.q || values.status || values.model_id),
		reset: () => {
			for (const control of controls.slice(0, 3)) control.value = "";
			controls[0].focus();
			set({ q: "", status: "", model_id: "" });
		},
		stop: () => clearTimeout(timer),
	};
}

const controlOf = (field) => field.querySelector("input, select");

function remember(values) {
	const asked = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
	history.replaceState(null, "", `#/gallery${asked.size ? `?${asked}` : ""}`);
}
