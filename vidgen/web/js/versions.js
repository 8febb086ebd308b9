// The versions of a job: the family as a strip of posters, the one that is shown marked.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { address, hasEnded, path } from "./jobs.js";
import { statusBadge, timeElement } from "./parts.js";
import { posterOf } from "./poster.js";
import { poll } from "./poll.js";

const EVERY_MS = 4000;

/** Show the versions of `job` in `root`, which is hidden while there is only one; returns what ends it. */
export function mountVersions(root, job) {
	const list = h("ol", { class: "versions" });
	let shown = "";
	root.hidden = true;
	root.setAttribute("aria-label", "Versions");
	fill(root, h("h2", {}, "Versions"), list);
	const refresh = async () => {
		const { jobs } = await get(`${path(job)}/versions`);
		const state = JSON.stringify(jobs.map(({ id, status, poster_url: poster }) => [id, status, poster]));
		if (state !== shown) fill(list, jobs.map((one, at) => version(one, at, jobs, job.id)));
		shown = state;
		root.hidden = jobs.length < 2;
		if (jobs.every(hasEnded)) stop();
	};
	const stop = poll("versions", refresh, EVERY_MS);
	return stop;
}

function version(one, at, jobs, currentId) {
	const parent = jobs.findIndex(({ id }) => id === one.parent_id);
	const origin = parent >= 0 && parent < at - 1 && ` · from version ${parent + 1}`;
	return h("li", {}, h("a", { href: address(one), "aria-current": one.id === currentId && "page" },
		posterOf(one),
		h("span", {},
			h("span", { class: "row" }, h("strong", {}, `Version ${at + 1}`), one.status !== "completed" && statusBadge(one)),
			h("span", { class: "muted small" }, timeElement(one.created_at), origin))));
}
