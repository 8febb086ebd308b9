// The view that composes a job: prompt, image, model and its settings; says what it will take; sends it.

import { create, get, post, unlessGone } from "./api.js";
import { announce, fill, h, icon } from "./dom.js";
import { asRequest, draftOf, emptyDraft, keepDraft, readDraft } from "./draft.js";
import { estimatePanel } from "./estimate.js";
import { focusWrong, numberField, sendable, setter, showWrong, textArea, textField, unreadable, unready } from "./form.js";
import { address, readJob } from "./jobs.js";
import { choosable, modelPicker } from "./modelpicker.js";
import { button, iconButton, once, tellProblem, toast } from "./parts.js";
import { pastedImage, referencePicker } from "./reference.js";
import { aspectOf, jobSeedField, settings } from "./settings.js";
import { storyboardEditor } from "./storyboard.js";

const DRY_RUN_MS = 350;
const RETRY_MS = 3000;
const MAX_STYLE_ENTRIES = 10;

export function show(root, params) {
	const view = new Compose(root);
	view.begin(params.from);
	return () => view.end();
}

class Compose {
	constructor(root) {
		this.root = root;
		this.draft = readDraft();
		this.asked = 0;
		this.said = h("div");
		this.estimate = estimatePanel();
		this.changed = this.changed.bind(this);
		this.onpaste = (event) => {
			const image = pastedImage(event);
			if (image && !document.querySelector("dialog[open]")) this.reference?.take(image);
		};
		document.addEventListener("paste", this.onpaste);
	}

	end() {
		this.isGone = true;
		this.asked += 1;
		clearTimeout(this.timer);
		document.removeEventListener("paste", this.onpaste);
	}

	begin(from) {
		fill(this.root, h("h1", {}, "Create a video"), this.said);
		return this.open(from);
	}

	/** Show the form once the models are known. */
	async open(from) {
		try {
			this.models = (await get("/api/v1/models")).models;
			if (from) await this.copy(from);
			await this.chooseModel();
		} catch (error) {
			if (this.isGone) return;
			tellProblem(this.said, error);
			this.timer = setTimeout(() => this.open(from), RETRY_MS);
			return;
		}
		if (!this.isGone) this.draw();
	}

	/** Take over what an earlier job was asked for. The address loses it, so that a reload keeps what is typed since. */
	async copy(from) {
		const job = await readJob(from).catch(unlessGone);
		if (this.isGone) return;
		if (job) this.draft = draftOf(job, this.models);
		else toast("That job is gone");
		keepDraft(this.draft);
		history.replaceState(null, "", "#/");
	}

	/** The draft's model where it can run, else the server's default, else the first that can. */
	async chooseModel() {
		const can = choosable(this.models);
		if (can.some(({ id }) => id === this.draft.model_id)) return;
		const tried = await post("/api/v1/jobs", { user_prompt: "?", dry_run: true }).catch(() => null);
		this.take(can.find(({ id }) => id === tried?.model_id)?.id ?? can[0]?.id ?? "");
	}

	/** Render with this model; parameters are of the model that they were set for. */
	take(id) {
		Object.assign(this.draft, { model_id: id, parameters: {}, keyframe_model_id: "", keyframe_parameters: {} });
		for (const shot of this.draft.storyboard?.shots ?? []) shot.parameters = {};
		if (this.model?.capabilities.sizes) Object.assign(this.draft.numbers, { width: "", height: "" });
	}

	get model() {
		return this.models.find(({ id }) => id === this.draft.model_id) ?? null;
	}

	draw() {
		const { draft } = this;
		this.set = setter(draft, this.changed);
		fill(this.said);
		this.settings = h("section", { class: "card stack", "aria-label": "Settings" });
		this.reference = referencePicker(draft, this.changed, () => aspectOf(draft, this.model?.capabilities));
		this.storyboard = storyboardEditor(draft, {
			form: () => this.form, model: () => this.model, onchange: this.changed, onreshape: () => { this.drawShots(); this.changed(); },
		});
		this.shots = h("div", { class: "apart" });
		this.form = sendable(() => once(this.generate, () => this.send()), { class: "compose" }, this.what(), this.sending());
		this.drawSettings();
		this.drawShots();
		fill(this.root, h("div", { class: "row spread title" }, h("h1", {}, "Create a video"),
			button("Start afresh", { class: "quiet small", onclick: () => this.clear() }, "close")), this.form);
		this.ask();
	}

	what() {
		const { draft } = this;
		return h("div", { class: "stack" },
			h("div", { class: "card stack" },
				textArea({ name: "user_prompt", label: "Prompt" }, draft.user_prompt, this.set("user_prompt"),
					{ rows: 4, class: "prompt", placeholder: "What is to be seen? A few sentences become a storyboard." }),
				this.reference.element, h("div", { class: "fields" }, this.shots, this.styleFields())),
			this.storyboard.element,
			h("div", { class: "card" }, modelPicker(this.models, this.draft.model_id, (id) => this.pick(id))),
			this.settings);
	}

	sending() {
		this.generate = h("button", { class: "button primary generate", type: "submit", title: "Ctrl or ⌘ + Enter" }, icon("spark"), "Generate");
		return h("div", { class: "card stack send" }, this.estimate.element, this.said, this.storyboard.said,
			this.storyboard.invite, this.generate);
	}

	drawShots() {
		const { draft } = this;
		const number = numberField({ name: "max_shots", label: "Shots", hint: "At most; 1 to 12" }, draft.max_shots,
			this.set("max_shots"), { min: 1, max: 12, step: 1, placeholder: 3 });
		fill(this.shots, !draft.storyboard && number, jobSeedField(draft, this.changed));
	}

	drawSettings() {
		const redraw = () => this.drawSettings();
		this.settings.hidden = !this.model;
		fill(this.settings, this.model && settings(this.draft, this.model, this.models, this.changed, redraw));
	}

	styleFields() {
		const { draft } = this;
		const rows = h("div", { class: "field wide", id: "style", dataset: { field: "style_preferences" } });
		const word = (name, label, placeholder) => textField({ name: `style_preferences.${name}`, label }, draft[name], this.set(name), { placeholder });
		const add = () => {
			draft.style.push(["", ""]);
			draw();
			[...rows.querySelectorAll("input")].at(-2).focus();
		};
		const draw = () => fill(rows, draft.style.map((pair, at) => this.stylePair(pair, at, draw)),
			draft.style.length < MAX_STYLE_ENTRIES - 2 && h("div", {}, button("Add to the style", { class: "small quiet", onclick: add }, "plus")));
		draw();
		return [word("mood", "Mood", "calm, dramatic…"), word("color_palette", "Colour palette", "warm, muted…"), rows];
	}

	stylePair(pair, at, draw) {
		const part = (index, label, placeholder) => h("input", {
			type: "text", "aria-label": `${label} of style ${at + 1}`, value: pair[index], placeholder,
			oninput: (event) => { pair[index] = event.target.value; this.changed(); },
		});
		const drop = () => {
			this.draft.style.splice(at, 1);
			draw();
			[...this.form.querySelectorAll("#style button")].at(-1).focus();
			this.changed();
		};
		return h("div", { class: "pair" }, part(0, "Name", "lens"), part(1, "Value", "35 mm, grainy"),
			iconButton(`Remove style ${at + 1}`, "close", { onclick: drop }));
	}

	pick(id) {
		this.take(id);
		this.drawSettings();
		this.storyboard.draw();
		this.reference.draw();
		this.changed();
	}

	clear() {
		this.draft = { ...emptyDraft(), model_id: this.draft.model_id };
		keepDraft(this.draft);
		this.draw();
		this.form.querySelector("textarea").focus();
		announce("The form is empty");
	}

	changed() {
		if (this.isGone) return;
		keepDraft(this.draft);
		fill(this.said);
		clearTimeout(this.timer);
		this.timer = setTimeout(() => this.ask(), DRY_RUN_MS);
	}

	/** A dry run of what the form holds; only the newest one's answer is shown. */
	async ask() {
		const number = ++this.asked;
		if (!this.draft.user_prompt.trim()) {
			showWrong(this.form, unreadable(this.form));
			return this.estimate.idle();
		}
		this.estimate.wait();
		try {
			const said = await post("/api/v1/jobs", { ...asRequest(this.draft, this.model), dry_run: true });
			if (number !== this.asked) return;
			showWrong(this.form, unreadable(this.form));
			this.estimate.show({ ...said, isWritten: Boolean(this.draft.storyboard) });
		} catch (error) {
			if (number === this.asked) this.refuse(error);
		}
	}

	refuse(error) {
		if (this.isGone) return toast(error.detail);
		const fields = [...unreadable(this.form), ...(error.fields ?? [])];
		const left = showWrong(this.form, fields);
		const elsewhere = fields.length && !left.length ? "The field that is marked cannot stay as it is." : error;
		this.estimate.refuse(elsewhere, left);
		if (error.status === 0) this.timer = setTimeout(() => this.ask(), RETRY_MS);
	}

	/** Post the job and go to it. What cannot be sent stays in the form. */
	async send() {
		clearTimeout(this.timer);
		this.asked += 1;
		const wrong = [...unready(this.form), ...(this.draft.user_prompt.trim() ? [] : [{ field: "user_prompt", message: "is required" }])];
		showWrong(this.form, wrong);
		if (wrong.length) return focusWrong(this.form);
		try {
			location.hash = address(await create("/api/v1/jobs", asRequest(this.draft, this.model)));
		} catch (error) {
			this.refuse(error);
			focusWrong(this.form);
		}
	}
}
