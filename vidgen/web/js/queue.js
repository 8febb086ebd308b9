// The queue: what renders, what waits and in which order, and whether anything new is started.

import { get, patch, post } from "./api.js";
import { announce, arrange, fill, h, icon, say } from "./dom.js";
import { address, cancel, path } from "./jobs.js";
import {
	button, confirmDialog, duration, empty, iconButton, problem, progressBar, statusBadge, tellProblem, time, toast,
} from "./parts.js";
import { poll } from "./poll.js";

const EVERY_MS = 2000;
const MAX_PRIORITY = 10;
const PAUSED = "The queue is paused. Steps that run now are finished; nothing else is started until you resume, "
	+ "not even after a restart of the server.";

export function show(root) {
	const rows = new Map();    // by job id
	const said = h("div");
	const notice = h("p", { class: "notice", hidden: true }, icon("pause"), h("span", {}, PAUSED));
	const pause = button("Pause", { disabled: true, onclick: () => turn() }, "pause");
	const running = section("Rendering now", "ul");
	const waiting = section("Waiting", "ol");
	const nothing = h("div");
	const trouble = h("div");    // why the queue cannot be read
	let queue = null;
	let turns = 0;    // of what was asked for last; older answers are dropped

	/** Do what may be refused, then show the queue as it is. */
	async function act(action) {
		try {
			await action();
			fill(said);
		} catch (error) {
			fill(said, problem(error));
		}
		await refresh().catch(() => {});
	}

	const turn = () => act(async () => {
		const isPaused = !queue.paused;
		await post(`/api/v1/queue/${isPaused ? "pause" : "resume"}`);
		announce(isPaused ? PAUSED : "The queue goes on");
	});

	async function refresh() {
		const turn = (turns += 1);
		const now = await get("/api/v1/queue");
		if (turn !== turns) return;
		queue = now;
		fill(trouble);
		notice.hidden = !queue.paused;
		pause.disabled = false;
		fill(pause, icon(queue.paused ? "play" : "pause"), queue.paused ? "Resume" : "Pause");
		pause.classList.toggle("primary", queue.paused);
		const places = queue.jobs.filter((job) => job.status === "queued");
		const others = queue.jobs.filter((job) => job.status !== "queued");
		for (const id of rows.keys()) if (!queue.jobs.some((job) => job.id === id)) rows.delete(id);
		running.show(others.map((job) => rowOf(job)), queue.processing);
		waiting.show(places.map((job) => rowOf(job, places)), queue.queued);
		fill(nothing, queue.jobs.length === 0 && empty("list", "Nothing renders and nothing waits.",
			h("a", { class: "button primary", href: "#/" }, "Create a video")));
	}

	function rowOf(job, places = []) {
		if (!rows.has(job.id) || rows.get(job.id).status !== job.status) rows.set(job.id, makeRow(job, act));
		rows.get(job.id).show(job, places);
		return rows.get(job.id).element;
	}

	fill(root, h("div", { class: "stack queue" },
		h("div", { class: "row spread" }, h("h1", {}, "Queue"), pause),
		said, trouble, notice, running.element, waiting.element, nothing));
	return poll("queue", refresh, EVERY_MS, (error) => tellProblem(trouble, error));
}

function section(title, tag) {
	const list = h(tag, { class: "stack tight" });
	const number = h("span", { class: "muted" });
	const heading = h("h2", {}, `${title} `, number);
	const element = h("section", { class: "stack tight", hidden: true, "aria-label": title }, heading, list);
	const show = (elements, total) => {
		element.hidden = elements.length === 0;
		say(number, String(total));
		arrange(list, elements);
	};
	return { element, show };
}

function makeRow(first, act) {
	const isQueued = first.status === "queued";
	const title = first.user_prompt;
	const place = h("span", { class: "place", "aria-hidden": "true" });
	const step = h("span", { class: "muted small" });
	const bar = progressBar(`Progress of ${title}`, first.progress_percentage);
	const order = isQueued ? makeOrder(first, title, act) : null;
	const ask = () => confirmDialog({
		title: "Cancel this job?", yes: "Cancel the job",
		text: isQueued ? "It has not begun." : "What has been rendered so far stays until you delete the job.",
	}, () => act(() => cancel(first)));
	const stop = iconButton(`Cancel: ${title}`, "close", { title: "Cancel", class: "small", onclick: ask });
	const name = h("h3", { class: "clamp" }, h("a", { href: address(first) }, title));
	const element = h("li", { class: "card queue-row", dataset: { testid: "queue-item", jobId: first.id } },
		isQueued ? place : statusBadge(first),
		h("div", { class: "grow stack tight" }, name, step, !isQueued && bar.element),
		h("div", { class: "row controls" }, order?.element, stop));
	const show = (job, places) => {
		say(place, String(job.position ?? ""));
		say(step, isQueued ? expectation(job) : state(job));
		bar.set(job.progress_percentage, job.current_step);
		order?.show(job, places);
	};
	return { element, show, status: first.status };
}

const line = (...facts) => facts.filter(Boolean).join(" · ");
const state = (job) =>
	line(job.current_step, job.eta_seconds !== null && `${duration(job.eta_seconds)} left`, job.model_id);
const expectation = (job) => line(
	`Place ${job.position}`, job.estimated_start && `starts about ${time(job.estimated_start)}`,
	job.eta_seconds !== null && `ready in ${duration(job.eta_seconds)}`, job.model_id,
);

/** The controls that move a waiting job: past its neighbours, or to a priority. */
function makeOrder(first, title, act) {
	let job = first;
	let places = [];
	const place = () => places.findIndex(({ id }) => id === job.id);
	const move = (by) => act(() => pass(job, places[place() + by], by));
	const mover = (label, iconName, by) =>
		iconButton(`${label}: ${title}`, iconName, { title: label, class: "small", onclick: () => move(by) });
	const up = mover("Move up", "up", -1);
	const down = mover("Move down", "down", 1);
	const field = h("input", {
		type: "number", min: -MAX_PRIORITY, max: MAX_PRIORITY, step: 1, value: first.priority,
		"aria-label": `Priority: ${title}`, onchange: () => act(() => set(job, field.valueAsNumber)),
	});
	const show = (now, all) => {
		[job, places] = [now, all];
		if (document.activeElement !== field) field.value = now.priority;
		disable(up, place() <= 0);
		disable(down, place() >= places.length - 1);
	};
	const label = h("label", { class: "small muted" }, "Priority ", field);
	return { element: h("span", { class: "row order" }, label, up, down), show };
}

/** Out of use, but where the focus is it stays. */
const disable = (element, isOut) => element.setAttribute("aria-disabled", isOut);

async function set(job, priority) {
	const moved = await patch(path(job), { priority });
	announce(moved.position === null ? "It has started" : `Priority ${moved.priority}, place ${moved.position}`);
	return moved;
}

/** Change the priority of `job` until it is past `neighbour`; only the server knows what a step does. */
async function pass(job, neighbour, by) {
	if (!neighbour) return;
	const isPast = ({ position }) => position === null || (position - neighbour.position) * by >= 0;
	for (let { priority } = job; Math.abs(priority - by) <= MAX_PRIORITY;) {
		priority -= by;
		if (isPast(await set(job, priority))) return;
	}
	toast(by < 0 ? "It has the highest priority; the one before it has waited longer." : "It has the lowest priority.");
}
