// The device that local models run on: a strip in the header, and a panel that says who holds its memory.

import { get, post } from "./api.js";
import { fill, h, icon, say } from "./dom.js";
import { button, factList, once, openDialog, problem } from "./parts.js";
import { poll } from "./poll.js";

const EVERY_MS = 3000;
const RELEASE = "Release gives back all that this server holds. What renders now ends first; the next job loads its "
	+ "model again. To keep the device free, pause the queue.";
const TINTS = 4;    // colours of models, in css/gpu.css

/** Keep the strip in `root`; it is hidden where nothing is known of a device. */
export function mountGpu(root) {
	let latest = null;
	let panel = null;
	const strip = makeStrip(() => {
		panel = openPanel(latest, refresh);
	});
	const hide = () => {
		root.hidden = true;
	};
	async function refresh() {
		latest = await get("/api/v1/gpu");
		root.hidden = !isKnown(latest);
		strip.show(latest);
		if (panel?.element.open) panel.show(latest);
	}
	hide();
	root.append(strip.element);
	poll("gpu", refresh, EVERY_MS, hide);
}

/** Where there is no GPU, the server tells of RAM, which is of interest only if the CPU renders. */
const isKnown = ({ device, memory, problem: why }) =>
	device.kind === "cpu" ? why === null : memory.total_bytes !== null || device.name !== null;
const sizeOf = (count) => (count === null ? "unknown" : `${(count / 2 ** 30).toFixed(1)} GiB`);
const wordFor = (gpu) => (gpu.device.kind === "cpu" ? "RAM" : "GPU");

function makeStrip(open) {
	const bar = h("span", { class: "memory", "aria-hidden": "true" });
	const figures = h("span", { class: "figures" });
	const heat = h("span", { class: "heat" });
	const word = h("span", { class: "word" });
	const warning = h("span", { class: "warning", hidden: true }, icon("alert", "Problem:"));
	const element = h("button", { type: "button", class: "gpu-strip", "aria-haspopup": "dialog", onclick: open },
		warning, word, bar, figures, heat);
	const show = (gpu) => {
		const { total_bytes: total, free_bytes: free } = gpu.memory;
		const isMeasured = total !== null && free !== null;
		warning.hidden = gpu.problem === null;
		bar.hidden = !isMeasured;
		say(word, wordFor(gpu));
		say(figures, isMeasured ? `${sizeOf(total - free).replace(" GiB", "")} / ${sizeOf(total)}` : "unknown");
		say(heat, gpu.temperature_c === null ? "" : `${gpu.temperature_c} °C`);
		if (isMeasured) drawBar(bar, shares(gpu));
		element.title = gpu.problem ?? gpu.device.name ?? "";
	};
	return { element, show };
}

/** Who has how much of the memory, in the order of the bar. */
function shares(gpu) {
	const { free_bytes: free, ours_bytes: ours, others_bytes: others, spare_bytes: spare } = gpu.memory;
	const models = gpu.models.map((model, at) => ({
		kind: `model-${at % TINTS}`, name: model.model_id, bytes: model.resident_bytes,
		note: [model.mode.replace("_", " "), model.busy ? "rendering" : "idle", model.source === "estimated" && "estimated"]
			.filter(Boolean).join(", "),
	}));
	const held = models.reduce((sum, model) => sum + model.bytes, 0);
	const kept = free === null ? 0 : Math.min(gpu.memory.reserve_bytes, free);
	return [
		...models,
		{ kind: "runtime", name: "Libraries and buffers", bytes: Math.max(0, (ours ?? 0) - held - spare), note: "ours" },
		{ kind: "spare", name: "Spare", bytes: spare, note: "held for the next render" },
		{ kind: "others", name: "Other programs", bytes: others },
		{ kind: "reserve", name: "Reserve", bytes: kept, note: "free, and left to others" },
		{ kind: "free", name: "Free", bytes: free === null ? null : free - kept },
	].filter((share) => share.bytes !== 0 || share.kind === "free" || share.kind.startsWith("model"));
}

function drawBar(bar, all) {
	const known = all.filter((share) => share.bytes);
	const total = known.reduce((sum, share) => sum + share.bytes, 0);
	fill(bar, known.map(({ kind, bytes }) => h("span", { class: `of-${kind}`, style: { width: `${(100 * bytes) / total}%` } })));
}

function openPanel(gpu, refresh) {
	const body = h("div", { class: "stack" });
	const said = h("div", { role: "status" });
	const release = button("Release", { onclick: () => once(release, () => releaseAll(said, refresh)) });
	const show = (now) => fill(body, describe(now));
	const title = gpu.device.name ?? `The server's ${wordFor(gpu)}`;
	const { element } = openDialog(title, h("div", { class: "stack" }, body, h("p", { class: "hint" }, RELEASE), said), {
		foot: release,
	});
	show(gpu);
	return { element, show };
}

async function releaseAll(said, refresh) {
	fill(said, "Releasing…");
	try {
		const done = await post("/api/v1/gpu/release");
		const back = done.released_bytes === null ? "Released." : `${sizeOf(done.released_bytes)} given back.`;
		fill(said, done.waits_for ? `${back} The rest follows after: ${done.waits_for}.` : back);
	} catch (error) {
		fill(said, problem(error));
	}
	await refresh().catch(() => {});    // the next reading is at most EVERY_MS away
}

function describe(gpu) {
	const all = shares(gpu);
	const bar = h("div", { class: "memory large", "aria-hidden": "true" });
	drawBar(bar, all);
	const isMeasured = gpu.memory.total_bytes !== null;
	const trouble = gpu.problem && h("p", { class: "problem" }, icon("alert"), gpu.problem);
	return [trouble, isMeasured && bar, shareTable(gpu, all), facts(gpu), processes(gpu)];
}

function shareTable(gpu, all) {
	const { total_bytes: total } = gpu.memory;
	return h("table", { class: "memory-table" },
		h("caption", { class: "visually-hidden" }, "Who holds the memory"),
		h("thead", {}, h("tr", {},
			h("th", { scope: "col" }, "Memory"), h("th", { scope: "col", class: "number" }, sizeOf(total)))),
		h("tbody", {}, all.map(shareRow)));
}

function shareRow({ kind, name, note, bytes }) {
	const words = h("span", {}, name, " ", note && h("span", { class: "muted small" }, note));
	return h("tr", {},
		h("th", { scope: "row" }, h("span", { class: `swatch of-${kind}`, "aria-hidden": "true" }), words),
		h("td", { class: "number" }, sizeOf(bytes)));
}

function facts(gpu) {
	const figure = (field, unit) => {
		if (gpu[field] !== null) return `${Math.round(gpu[field])} ${unit}`;
		return gpu.unknown[field] ? `unknown: ${gpu.unknown[field]}` : null;
	};
	const shelf = gpu.memory.shelf_bytes;
	return factList([
		["Temperature", figure("temperature_c", "°C")], ["Utilisation", figure("utilisation_percent", "%")],
		["Power", figure("power_w", "W")], ["Weights kept ready", shelf ? `${sizeOf(shelf)} of RAM` : null],
		["Driver", gpu.device.driver],
	]);
}

function processes(gpu) {
	const others = (gpu.processes ?? []).filter((process) => !process.ours);
	const rows = others.map(({ name, pid, used_bytes: used }) => [`${name ?? "unnamed"} (${pid})`, sizeOf(used)]);
	return rows.length > 0 && h("section", { class: "stack tight" }, h("h3", {}, "Other programs"), factList(rows));
}
