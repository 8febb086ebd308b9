// The way through the page: which view an address shows, the header, the theme.

import * as compose from "./compose.js";
import { announce } from "./dom.js";
import * as gallery from "./gallery.js";
import { mountGpu } from "./gpu.js";
import * as job from "./job.js";
import { problem } from "./parts.js";
import * as queue from "./queue.js";
import { mountSignOut } from "./session.js";

const VIEWS = [
	{ path: /^\/$/, view: compose, title: "Create", nav: "#/" },
	{ path: /^\/jobs\/([\w-]+)$/, view: job, title: "Job", nav: "#/gallery" },
	{ path: /^\/gallery$/, view: gallery, title: "Gallery", nav: "#/gallery" },
	{ path: /^\/queue$/, view: queue, title: "Queue", nav: "#/queue" },
];

const content = document.getElementById("content");
let leave = () => {};
let isFirst = true;

/** Show the view that the address names; `params` are the query's entries, and `id` where the path has one. */
function route() {
	const [path, query] = (location.hash.slice(1) || "/").split("?");
	const entry = VIEWS.find((one) => one.path.test(path)) ?? VIEWS[0];
	const params = { ...Object.fromEntries(new URLSearchParams(query)), id: entry.path.exec(path)?.[1] };
	leave();
	leave = () => {};
	for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
	content.replaceChildren();
	document.title = `${entry.title} · vidgen`;
	markCurrent(entry.nav);
	try {
		leave = entry.view.show(content, params) ?? leave;
	} catch (error) {
		content.replaceChildren(problem(error));
		throw error;
	}
	if (!isFirst) arrive(entry.title);
	isFirst = false;
}

function arrive(title) {
	scrollTo(0, 0);
	content.focus({ preventScroll: true });
	announce(title);
}

function markCurrent(nav) {
	for (const link of document.querySelectorAll(".nav a")) {
		if (link.getAttribute("href") === nav) link.setAttribute("aria-current", "page");
		else link.removeAttribute("aria-current");
	}
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
const themeButton = document.getElementById("theme");

function showTheme() {
	themeButton.setAttribute("aria-label", `Theme: ${theme()}`);
	themeButton.title = `Switch to the ${theme() === "dark" ? "light" : "dark"} theme`;
}

themeButton.addEventListener("click", () => {
	const chosen = theme() === "dark" ? "light" : "dark";
	document.documentElement.dataset.theme = chosen;
	try {
		localStorage.setItem("theme", chosen);
	} catch {
		// Storage is refused: the choice lasts as long as the page.
	}
	showTheme();
});
document.querySelector(".skip").addEventListener("click", (event) => {
	event.preventDefault();
	content.focus();
});
for (const name of ["dragover", "drop"]) {
	addEventListener(name, (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());    // the browser would leave for it
}
dark.addEventListener("change", showTheme);
addEventListener("hashchange", route);

showTheme();
mountGpu(document.getElementById("gpu"));
mountSignOut(document.querySelector(".top-end"));
route();
