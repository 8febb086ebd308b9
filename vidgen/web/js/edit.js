// Shots again: one shot changed, or their order; either makes a new version of the job.

import { create, get } from "./api.js";
import { h } from "./dom.js";
import { shotDraft, shotRequest } from "./draft.js";
import { focusWrong, refuse, sendable, showWrong, unready } from "./form.js";
import { address, path } from "./jobs.js";
import { button, once, openDialog, problem } from "./parts.js";
import { shotFields } from "./shotform.js";

const DEFAULTS = { duration_seconds: null, seed: null, keyframe_prompt: null, keyframe_image: null };

/** The fields of a shot that differ, as `EditRequest` takes them; null takes a field back to its default. */
function changes(before, after) {
	const [old, now] = [before, after].map(shotRequest);
	const said = { ...DEFAULTS, ...now };
	const changed = Object.keys(said).filter((name) => JSON.stringify(old[name] ?? null) !== JSON.stringify(said[name] ?? null));
	const back = old.parameters && !now.parameters ? { parameters: {} } : {};
	return { ...Object.fromEntries(changed.map((name) => [name, said[name]])), ...back };
}

/** Make the new version and go to it. */
async function send(job, edit) {
	location.hash = address(await create(`${path(job)}/edits`, edit));
}

export async function editShot(job, shot) {
	const before = shotDraft(shot);
	const after = shotDraft(shot);
	await shotDialog(job, `Edit shot ${shot.index + 1}`, after, {
		yes: "Render this shot again", hint: consequence(job, shot), prefix: "shots.0.",
		request: () => {
			const changed = changes(before, after);
			return Object.keys(changed).length ? { shots: [{ id: shot.id, ...changed }] } : null;
		},
		act: (edit) => send(job, edit),
	});
}

/** The dialog that describes a new shot; `act` is given it as a request says it. */
export async function newShot(job, act) {
	const shot = shotDraft();
	const request = () => shotRequest(shot);
	await shotDialog(job, "Add a shot", shot, { yes: "Add the shot", hint: "It is rendered when the new version is made.", request, act });
}

/** Make the version with these shots in this order: ids, and new shots. */
export const reorder = (job, order) => send(job, { order });

async function shotDialog(job, title, shot, { yes, hint, prefix = "", request, act }) {
	const { hash } = location;
	const model = await get(`/api/v1/models/${encodeURIComponent(job.model_id)}`).catch(() => null);
	if (location.hash !== hash || document.querySelector("dialog")) return;    // left meanwhile, or asked twice
	const said = h("div");
	const form = sendable(() => once(sure, submit), {
		class: "stack", oninput: () => { showWrong(form, []); said.replaceChildren(); },
	}, shotFields(shot, { model, parameters: job.parameters, prefix }), h("p", { class: "small muted" }, hint), said);
	const sure = button(yes, { class: "primary", onclick: () => once(sure, submit) });
	const dialog = openDialog(title, form, { foot: [button("Cancel", { onclick: () => dialog.close() }), sure] });
	form.querySelector("textarea").focus();

	async function submit() {
		const wrong = unready(form);
		const asked = wrong.length ? null : request();
		showWrong(form, wrong);
		said.replaceChildren(...(asked || wrong.length ? [] : [problem("Nothing is different yet. Change a field, or take another seed")]));
		if (!asked) return focusWrong(form);
		try {
			await act(asked);
			dialog.close();
		} catch (error) {
			refuse(form, said, error);
			focusWrong(form);
		}
	}
}

/** Which shots will be rendered again, in words. */
function consequence(job, { index }) {
	const count = job.storyboard.shots.length;
	const kept = "This version stays as it is.";
	if (count === 1) return `The shot is rendered again. ${kept}`;
	if (job.continuity === "chain" && index < count - 1) {
		return `Shots ${index + 1} to ${count} are rendered again, since each goes on from the one before. ${kept}`;
	}
	return `Only shot ${index + 1} is rendered again; the other clips are used as they are. ${kept}`;
}
