// The storyboard before the job: written by the planner, or by hand, and edited shot by shot.

import { post } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { planRequest, shotDraft, storyboardDraft } from "./draft.js";
import { refuse, setter, textField } from "./form.js";
import { button, count, iconButton, once } from "./parts.js";
import { shotFields } from "./shotform.js";

const MAX_SHOTS = 12;

/** The editor of the draft's storyboard, and the button `invite` that has one written; without, the server plans. */
export function storyboardEditor(draft, { form, model, onchange, onreshape }) {
	const element = h("section", { class: "stack", "aria-label": "Storyboard" });
	const said = h("div");
	const shots = () => draft.storyboard.shots;

	function reshape(words) {
		draw();
		onreshape();
		announce(words);
	}

	async function plan() {
		fill(said, h("p", { class: "muted", role: "status" }, "Writing the storyboard…"));
		try {
			const { num_frames: frames, fps } = model()?.capabilities ?? {};
			const planned = storyboardDraft(await post("/api/v1/storyboards", planRequest(draft)), frames?.default / fps?.default);
			for (const shot of planned.shots) shot.seed = "";
			draft.storyboard = planned;
			fill(said);
			reshape(`The storyboard has ${count(planned.shots.length, "shot")}`);
			element.querySelector("textarea")?.focus();
		} catch (error) {
			refuse(form(), said, error);
		}
	}

	function add(at) {
		shots().splice(at, 0, shotDraft());
		reshape(`Shot ${at + 1} was added`);
		element.querySelectorAll("fieldset")[at].querySelector("textarea").focus();
	}

	function move(from, to) {
		shots().splice(to, 0, ...shots().splice(from, 1));
		reshape(`Shot ${from + 1} is shot ${to + 1} now`);
		element.querySelectorAll("fieldset")[to].querySelector(".row button")?.focus();
	}

	function drop(at) {
		shots().splice(at, 1);
		if (!shots().length) draft.storyboard = null;
		reshape(`Shot ${at + 1} was removed`);
		(element.querySelectorAll("fieldset")[Math.min(at, draft.storyboard?.shots.length - 1)]?.querySelector(".row button") ?? invite).focus();
	}

	function leave() {
		draft.storyboard = null;
		reshape("The storyboard was dropped");
		invite.focus();
	}

	const one = (shot, index) => h("fieldset", { class: "card planned", "aria-labelledby": `planned-${index}` },
		h("div", { class: "row spread" }, h("h3", { id: `planned-${index}` }, `Shot ${index + 1}`),
			h("div", { class: "row" },
				index > 0 && iconButton(`Move shot ${index + 1} up`, "up", { class: "small", onclick: () => move(index, index - 1) }),
				index < shots().length - 1 && iconButton(`Move shot ${index + 1} down`, "down", { class: "small", onclick: () => move(index, index + 1) }),
				iconButton(`Remove shot ${index + 1}`, "trash", { class: "small", onclick: () => drop(index) }))),
		shotFields(shot, { model: model(), parameters: draft.parameters, prefix: `storyboard.shots.${index}.`, onchange }));

	const invite = button("Write the storyboard first", {
		onclick: () => once(invite, plan), title: "Have its shots written now, and edit them before anything is rendered",
	}, "list");

	const editor = () => [
		h("div", { class: "row spread" }, h("h2", {}, "Storyboard"),
			button("Leave it to the planner", { class: "small quiet", onclick: leave }, "close")),
		textField({ name: "storyboard.title", label: "Title" }, draft.storyboard.title, setter(draft.storyboard, onchange)("title")),
		shots().map(one),
		shots().length < MAX_SHOTS && h("div", {}, button("Add a shot", { class: "small", onclick: () => add(shots().length) }, "plus")),
	];

	function draw() {
		invite.hidden = Boolean(draft.storyboard);
		fill(element, draft.storyboard && editor());
	}

	draw();
	return { element, said, invite, draw };
}
