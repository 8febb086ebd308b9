// Arranging a finished job's shots: moved, removed and added on the cards, then made into one new version.

import { announce, fill, h } from "./dom.js";
import { newShot, reorder } from "./edit.js";
import { hasEnded } from "./jobs.js";
import { button, iconButton, once, problem } from "./parts.js";

export class Arrangement {
	/** @param {function(): object} job  as it is now */
	constructor(job, list, ondone) {
		Object.assign(this, { job, list, ondone, isOn: false });
		this.said = h("div");
		this.bar = h("div", { class: "row" });
	}

	draw() {
		const state = `${this.job().status}${this.isOn}`;
		if (state === this.state) return;
		this.state = state;
		fill(this.bar, this.said, hasEnded(this.job()) && (this.isOn ? this.choices() : button("Arrange", { class: "small", onclick: () => this.begin() }, "list")));
	}

	choices() {
		return [
			button("Add a shot", { class: "small", onclick: () => newShot(this.job(), (shot) => this.add(shot)) }, "plus"),
			button("Leave as it was", { class: "small quiet", onclick: () => this.end() }),
			this.make = button("Make the new version", { class: "small primary", onclick: () => once(this.make, () => this.send()) }),
		];
	}

	begin() {
		this.isOn = true;
		this.order = this.job().storyboard.shots.map((shot) => ({ said: shot.id, name: `Shot ${shot.index + 1}`, text: shot.description, poster: shot.poster_url }));
		this.draw();
		this.show();
		this.list.querySelector("button")?.focus();
		announce("Arrange the shots, then make the new version");
	}

	end() {
		this.isOn = false;
		fill(this.said);
		this.ondone();
		this.bar.querySelector("button")?.focus();
	}

	async add(shot) {
		this.order.push({ said: shot, name: "New shot", text: shot.description, poster: null });
		this.show();
		announce("The shot was added at the end");
	}

	async send() {
		try {
			await reorder(this.job(), this.order.map(({ said }) => said));
		} catch (error) {
			fill(this.said, problem(error, error.fields));
		}
	}

	show() {
		fill(this.list, this.order.map((shot, at) => this.card(shot, at)));
	}

	card(shot, at) {
		const tool = (words, name, act, isOff) => iconButton(`${words}: ${shot.name}`, name, { class: "small", onclick: act, disabled: isOff });
		const last = this.order.length - 1;
		return h("li", { class: "card shot arranged" },
			shot.poster ? h("img", { class: "media", src: shot.poster, alt: "" }) : h("div", { class: "media" }),
			h("h3", {}, `${at + 1}. ${shot.name}`), h("p", { class: "description" }, shot.text),
			h("div", { class: "row tools" }, tool("Move left", "left", () => this.move(at, at - 1), at === 0),
				tool("Move right", "right", () => this.move(at, at + 1), at === last),
				tool("Remove", "trash", () => this.drop(at), last === 0)));
	}

	move(from, to) {
		this.order.splice(to, 0, ...this.order.splice(from, 1));
		this.show();
		const buttons = [...this.list.children[to].querySelectorAll("button:not([disabled])")];
		(buttons.find((one) => one.title.startsWith(to < from ? "Move left" : "Move right")) ?? buttons[0])?.focus();
		announce(`${this.order[to].name} is in place ${to + 1} now`);
	}

	drop(at) {
		const [gone] = this.order.splice(at, 1);
		this.show();
		this.list.children[Math.min(at, this.order.length - 1)].querySelector("button:not([disabled])")?.focus();
		announce(`${gone.name} was removed`);
	}
}
