// The gallery's filters. They stand in the address too, so that a reload and a link keep them.

import { get } from "./api.js";
import { h } from "./dom.js";

const TYPING_MS = 250;
const NAMES = ["q", "status", "model_id", "order"];
const STATUSES = [
  ["", "All"], ["queued", "Queued"], ["processing", "Rendering"], ["completed", "Completed"], ["failed", "Failed"],
  ["cancelled", "Cancelled"],
];
const ORDERS = [["", "Newest first"], ["oldest", "Oldest first"]];

/**
 * @param {Object} params  the filters that the address names
 * @param {function(): void} changed
 */
export function makeFilters(params, changed) {
  const values = Object.fromEntries(NAMES.map((name) => [name, params[name] ?? ""]));
  let timer = 0;
  const set = (name, value) => {
    if (values[name] === value) return;
    values[name] = value;
    remember(values);
    changed();
  };
  const typed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => set("q", controls.q.value.trim()), TYPING_MS);
  };
  const select = (name, options) =>
    h("select", { id: `gallery-${name}`, onchange: () => set(name, controls[name].value) }, optionsOf(options));
  const controls = {
    q: h("input", {
      type: "search", id: "gallery-q", placeholder: "Words in the prompt", maxlength: 200, oninput: typed,
    }),
    status: select("status", STATUSES),
    model_id: select("model_id", [["", "All"]]),
    order: select("order", ORDERS),
  };
  const show = () => NAMES.forEach((name) => { controls[name].value = values[name]; });
  get("/api/v1/models").then(({ models }) => {
    controls.model_id.append(...optionsOf(models.map(({ id, name, provider }) => [id, `${name} (${provider})`])));
    show();
  }, () => {});                         // no models to choose from, then; the list itself says what is wrong
  show();
  return {
    values, first: controls.q,
    element: h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      field("Search", controls.q), field("Status", controls.status), field("Model", controls.model_id),
      field("Order", controls.order)),
    areSet: () => Boolean(values.q || values.status || values.model_id),
    reset: () => {
      Object.assign(values, { q: "", status: "", model_id: "" });
      show();
      remember(values);
      controls.q.focus();
      changed();
    },
    stop: () => clearTimeout(timer),
  };
}

function remember(values) {
  const asked = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
  history.replaceState(null, "", `#/gallery${asked.size ? `?${asked}` : ""}`);
}

const optionsOf = (options) => options.map(([value, words]) => h("option", { value }, words));
const field = (words, control) => h("div", { class: "field" }, h("label", { for: control.id }, words), control);
