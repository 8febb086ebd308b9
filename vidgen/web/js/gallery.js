// All jobs, as posters: filtered, searched, and what can be done with each.

import { get } from "./api.js";
import { fill, h, say } from "./dom.js";
import { hasEnded, readJob } from "./jobs.js";
import { button, count, empty, tellProblem } from "./parts.js";
import { poll } from "./poll.js";
import { makeFilters } from "./filters.js";
import { makeItem } from "./item.js";

const PAGE_SIZE = 24;
const EVERY_MS = 4000;

export function show(root, params) {
	const shown = new Map();    // by id: {job, element}
	const list = h("ul", { class: "grid gallery" });
	const summary = h("p", { class: "muted", role: "status" });
	const said = h("div");
	const nothing = h("div");
	const more = button("Show more", { class: "gallery-more", hidden: true, onclick: () => load(pages + 1) });
	const filters = makeFilters(params, () => load(1));
	let pages = 0;
	let turn = 0;    // of what was asked for last; older answers are dropped
	let total = 0;

	const read = (page) => get("/api/v1/jobs", { ...filters.values, page, page_size: PAGE_SIZE });

	/** Read one page and lay it out; page 1 begins anew. */
	async function load(page) {
		const asked = (turn += 1);
		try {
			const found = await read(page);
			if (asked !== turn) return;
			if (page === 1) for (const id of [...shown.keys()]) drop(id);
			pages = page;
			const hadFocus = document.activeElement === more;
			for (const job of found.jobs) put(job, (element) => list.append(element));
			if (hadFocus) shown.get(found.jobs[0]?.id)?.element.querySelector("h2 a").focus();
			tell(found.total);
			fill(said);
		} catch (error) {
			if (asked === turn) tellProblem(said, error);
		}
	}

	/** Show a job as it is now: in place where it is shown already, else where `place` puts it. */
	function put(job, place) {
		const known = shown.get(job.id);
		const state = JSON.stringify(job);
		if (known?.state === state) return;
		const element = makeItem(job, () => gone(job));
		if (known) replace(known.element, element);
		else place(element);
		shown.set(job.id, { job, state, element });
	}

	function drop(id) {
		shown.get(id)?.element.remove();
		shown.delete(id);
	}

	function gone(job) {
		const { element } = shown.get(job.id) ?? {};
		const next = element?.nextElementSibling ?? element?.previousElementSibling;
		drop(job.id);
		tell(total - 1);
		// Only once the dialog that asked has closed can anything behind it have the focus.
		requestAnimationFrame(() => (next?.querySelector("h2 a") ?? filters.first).focus());
	}

	function tell(number) {
		total = number;
		say(summary, count(number, "job"));
		more.hidden = shown.size >= number;
		const isEmpty = shown.size === 0 && number === 0;
		fill(nothing, isEmpty && (filters.areSet() ? nothingFound(filters.reset) : nothingYet()));
	}

	/** What changed since: page 1 whole, and of the rest what was not over yet. */
	async function refresh() {
		if (pages === 0) return load(1);
		const asked = turn;
		const first = await read(1);
		const ids = new Set(first.jobs.map(({ id }) => id));
		const others = [...shown.values()].map(({ job }) => job).filter((job) => !hasEnded(job) && !ids.has(job.id));
		const found = await Promise.allSettled(others.map(({ id }) => readJob(id)));
		if (asked !== turn) return undefined;
		if (pages === 1) for (const id of [...shown.keys()]) if (!ids.has(id)) drop(id);
		let before = null;
		for (const job of first.jobs) {
			put(job, (element) => (before ? before.after(element) : list.prepend(element)));
			before = shown.get(job.id).element;
		}
		found.forEach(({ value, reason }, at) => {
			if (value) put(value, () => {});
			else if (reason.status === 404) drop(others[at].id);
		});
		fill(said);
		return tell(first.total);
	}

	fill(root, h("div", { class: "row spread gallery-head" }, h("h1", {}, "Gallery"), summary), filters.element,
		said, list, nothing, more);
	const stop = poll("gallery", refresh, EVERY_MS, (error) => tellProblem(said, error));
	return () => {
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
