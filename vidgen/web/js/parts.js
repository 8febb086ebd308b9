// Pieces that several views show: badges, bars, boxes, dialogs, toasts; and how numbers and times read.

import { fill, h, icon, say } from "./dom.js";

const STATUS_WORDS = {
	queued: "Queued", processing: "Rendering", completed: "Completed", failed: "Failed", cancelled: "Cancelled",
	pending: "Waiting", rendering: "Rendering",
};
const TOAST_MS = 5000;

export const statusWord = (status) => STATUS_WORDS[status] ?? status;

/** The status of a job or of a shot, as a word and a colour. */
export const statusBadge = ({ status }) => h("span", { class: `badge ${status}` }, statusWord(status));

/** A progress bar that people hear of by `label`: its `element`, and `set`, which takes percent and words for it. */
export function progressBar(label, percent = 0, size = "") {
	const bar = h("div");
	const element = h("div", {
		class: `progress ${size}`, role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
	}, bar);
	const set = (value, words = null) => {
		const shown = Math.max(0, Math.min(100, value || 0));
		bar.style.transform = `scaleX(${shown / 100})`;
		element.setAttribute("aria-valuenow", Math.round(shown));
		if (words) element.setAttribute("aria-valuetext", words);
	};
	set(percent);
	return { element, set };
}

export function duration(seconds) {
	if (seconds === null || seconds === undefined) return "";
	if (seconds < 9.95) return `${Number(seconds.toFixed(1))} s`;
	const whole = Math.round(seconds);
	if (whole < 60) return `${whole} s`;
	if (whole < 3600) return join(Math.floor(whole / 60), "min", whole % 60, "s");
	return join(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
}

const join = (large, unit, small, smaller) => `${large} ${unit}${small ? ` ${small} ${smaller}` : ""}`;

/** Bytes as `812 kB`, `1.4 GB`. */
export function bytes(count) {
	const power = Math.min(4, Math.floor(Math.log10(Math.max(1, count)) / 3));
	const value = count / 1000 ** power;
	return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

export const money = (dollars) => `$${dollars < 0.1 ? dollars.toFixed(3) : dollars.toFixed(2)}`;

export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** A moment: the time where it is today, else the date too. */
export function time(iso) {
	const at = new Date(iso);
	const isToday = at.toDateString() === new Date().toDateString();
	const clock = { hour: "2-digit", minute: "2-digit" };
	return at.toLocaleString(undefined, isToday ? clock : { day: "numeric", month: "short", ...clock });
}

export const timeElement = (iso) => h("time", { datetime: iso, title: new Date(iso).toLocaleString() }, time(iso));

/** A box that says what is wrong: an error or words, or the `fields` that could not be shown at their place. */
export function problem(error, fields = []) {
	const words = typeof error === "string" ? error : error.detail || "Something went wrong on this page. Reload it.";
	return h("div", { class: "problem", role: "alert" }, icon("alert"), h("div", { class: "grow" },
		fields.length ? h("ul", {}, fields.map(({ field, message }) => h("li", {}, `${field}: ${message}`))) : sentence(words),
	));
}

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

export const empty = (name, words, ...more) => h("div", { class: "empty" }, icon(name), h("p", {}, words), ...more);

/** What is known of `rows`, each a name and a value. */
export function factList(rows) {
	const known = rows.filter(([, value]) => value);
	return known.length > 0 && h("dl", { class: "facts" }, known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Whether people want that nothing moves by itself. */
export const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function button(words, props = {}, iconName = null) {
	const { class: classes = "", ...rest } = props;
	return h("button", { type: "button", ...rest, class: `button ${classes}` }, iconName && icon(iconName), words);
}

export const iconButton = (label, iconName, props = {}) =>
	button(null, { ...props, class: `square quiet ${props.class ?? ""}`, "aria-label": label, title: label }, iconName);

/** Show a problem in `place`; where it stands already it stays as it is, so that nobody has it read out again. */
export function tellProblem(place, error, fields = []) {
	const box = problem(error, fields);
	if (place.textContent !== box.textContent) fill(place, box);
}

/** Do `work` with `button` out of use meanwhile, so that nothing is sent twice; a focus that it had comes back. */
export async function once(button, work) {
	if (button.disabled) return;
	const hadFocus = document.activeElement === button;
	button.disabled = true;
	try {
		await work();
	} finally {
		button.disabled = false;
		if (hadFocus && document.activeElement === document.body) button.focus();
	}
}

/** Open a dialog. Escape, a click beside it and its own button close it; the focus goes back to where it was. */
export function openDialog(title, body, { foot = null, size = "" } = {}) {
	const before = document.activeElement;
	const heading = h("h2", { id: `dialog-${Math.random().toString(36).slice(2)}` }, title);
	const close = () => element.close();
	const element = h("dialog", {
		class: size, "aria-labelledby": heading.id, onclose: () => { element.remove(); focusAgain(before); },
		onmousedown: (event) => event.target === element && isOutside(event, element) && close(),
	},
	h("div", { class: "head" }, heading, iconButton("Close", "close", { onclick: close })),
	h("div", { class: "body" }, body), foot && h("div", { class: "foot" }, foot));
	document.body.append(element);
	element.showModal();
	return { element, close };
}

/** Focus `element`; where it is gone by now, the content, so that the keyboard does not begin at the top again. */
function focusAgain(element) {
	if (element?.isConnected) element.focus();
	else if (document.activeElement === document.body) document.getElementById("content").focus();
}

function isOutside({ clientX, clientY }, element) {
	const box = element.getBoundingClientRect();
	return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}

/** Ask before something is done that cannot be undone: `words` is {title, text, yes}; `action` may fail in words. */
export function confirmDialog({ title, text, yes }, action) {
	const said = h("div");
	const act = async () => {
		try {
			await action();
			dialog.close();
		} catch (error) {
			fill(said, problem(error));
		}
	};
	const sure = button(yes, { class: "danger", onclick: () => once(sure, act) });
	const keep = button("Keep it", { autofocus: true, onclick: () => dialog.close() });
	const dialog = openDialog(title, h("div", { class: "stack" }, h("p", {}, text), said), {
		foot: [keep, sure], size: "narrow",
	});
}

export function toast(text) {
	const element = h("div", { class: "toast" }, text);
	document.getElementById("toasts").append(element);
	setTimeout(() => element.remove(), TOAST_MS);
}

const waiting = new Set();

/** Say across the page that the server is waited for by `who`, or no more. */
export function waitForServer(who, isWaiting) {
	if (isWaiting) waiting.add(who);
	else waiting.delete(who);
	const banner = document.getElementById("banner");
	banner.hidden = waiting.size === 0;
	say(banner, waiting.size ? "The server cannot be reached; trying again…" : "");
}
