// All jobs, as posters: filtered, searched, and what can be done with each.

import { get } from "./api.js";
import { arrange, fill, h, say } from "./dom.js";
import { button, count, empty, tellProblem } from "./parts.js";
import { poll } from "./poll.js";
import { makeFilters } from "./filters.js";
import { makeItem } from "./item.js";

const PAGE_SIZE = 24;
const EVERY_MS = 4000;
const UNSEEN = { position: 0, eta_seconds: 0, estimated_start: 0, updated_at: 0 };    // what no item shows

export function show(root, params) {
	const shown = new Map();    // by job id: {state, element}
	const list = h("ul", { class: "grid gallery", onclick: () => history.replaceState({ pages, top: scrollY }, "") });
	const summary = h("p", { class: "muted", role: "status" });
	const said = h("div");
	const nothing = h("div");
	const more = button("Show more", { class: "gallery-more", hidden: true, onclick: () => showMore() });
	const filters = makeFilters(params, () => load(1));
	let left = history.state;    // where the view was when a job was opened, for who comes back
	let pages = left?.pages ?? 1;    // that are shown, or asked for
	let turn = 0;    // of what was asked for last; older answers are dropped

	const read = (page) => get("/api/v1/jobs", { ...filters.values, page, page_size: PAGE_SIZE });

	/** Show the pages as they are now, in the server's order. */
	async function refresh() {
		const asked = turn;
		const found = await Promise.all(Array.from({ length: pages }, (_, at) => read(at + 1)));
		if (asked !== turn) return;
		const jobs = new Map(found.flatMap((page) => page.jobs).map((job) => [job.id, job]));
		for (const id of [...shown.keys()]) if (!jobs.has(id)) shown.delete(id);
		arrange(list, [...jobs.values()].map(elementOf));
		const { total } = found[0];
		say(summary, count(total, "job"));
		more.hidden = jobs.size >= total;
		fill(nothing, total === 0 && (filters.areSet() ? nothingFound(filters.reset) : nothingYet()));
		fill(said);
		if (left) scrollTo(0, left.top);
		left = null;
	}

	async function load(upTo) {
		turn += 1;
		pages = upTo;
		await refresh().catch((error) => tellProblem(said, error));
	}

	/** One page more; the focus goes on to what it brings. */
	async function showMore() {
		const last = list.lastElementChild;
		await load(pages + 1);
		last.nextElementSibling?.querySelector("h2 a").focus();
	}

	/** A job as it is now: its element, made anew where it has changed. */
	function elementOf(job) {
		const known = shown.get(job.id);
		const state = JSON.stringify({ ...job, ...UNSEEN });
		if (known?.state === state) return known.element;
		const element = makeItem(job, () => gone(job));
		if (known) replace(known.element, element);
		shown.set(job.id, { state, element });
		return element;
	}

	function gone({ id }) {
		const { element } = shown.get(id) ?? {};
		const next = element?.nextElementSibling ?? element?.previousElementSibling;
		element?.remove();
		load(pages);
		// Only once the dialog that asked has closed can anything behind it have the focus.
		requestAnimationFrame(() => (next?.querySelector("h2 a") ?? filters.first).focus());
	}

	fill(root, h("div", { class: "row spread gallery-head" }, h("h1", {}, "Gallery"), summary), filters.element,
		said, list, nothing, more);
	const stop = poll("gallery", refresh, EVERY_MS, (error) => tellProblem(said, error));
	return () => {
		turn += 1;
		filters.stop();
		stop();
	};
}

/** Put `element` where `old` is; the focus stays on what does the same. */
function replace(old, element) {
	const focused = old.contains(document.activeElement) ? document.activeElement.dataset.action : null;
	old.replaceWith(element);
	if (focused) element.querySelector(`[data-action="${focused}"]`)?.focus();
}

const nothingYet = () =>
	empty("film", "Nothing has been made here yet.", h("a", { class: "button primary", href: "#/" }, "Create a video"));
const nothingFound = (reset) =>
	empty("search", "No job fits these filters.", button("Show all jobs", { onclick: reset }));
