// What is being composed: kept over reloads, made from an earlier job, and turned into a request.

import { hasEnded } from "./jobs.js";

const KEY = "draft";
const SIZE = ["width", "height"];
const NUMBERS = [...SIZE, "num_frames", "fps", "num_inference_steps"];

/** Everything that the form holds. Numbers are kept as they were typed; empty means the default. */
export const emptyDraft = () => ({
	user_prompt: "", reference: null, focus: [0.5, 0.5], model_id: "", max_shots: "3", seed: "", mood: "",
	color_palette: "", style: [], negative_prompt: "", numbers: {}, parameters: {}, keyframe_model_id: "",
	keyframe_parameters: {}, continuity: "independent", fit: "exact", save_frames: false, priority: "",
	storyboard: null,
});

export function readDraft() {
	try {
		return { ...emptyDraft(), ...JSON.parse(sessionStorage.getItem(KEY)) };
	} catch {
		return emptyDraft();
	}
}

export function keepDraft(draft) {
	try {
		sessionStorage.setItem(KEY, JSON.stringify(draft));
	} catch {
		// Storage is refused or full: the form lasts as long as the page.
	}
}

/** The body of `POST /api/v1/jobs`. What equals a default is left out. */
export function asRequest(draft, model) {
	const { reference, storyboard, focus } = draft;
	return {
		...planRequest(draft), ...numbersOf(draft, model),
		...given("reference_image", reference?.file_id), ...(reference && focus.some((at) => at !== 0.5) && { focus }),
		...given("seed", draft.seed && Number(draft.seed)), ...given("priority", Number(draft.priority) || ""),
		...given("negative_prompt", model?.capabilities.supports_negative_prompt && draft.negative_prompt.trim()),
		...given("parameters", differing(draft.parameters, model?.parameters)),
		...given("keyframe_model_id", draft.keyframe_model_id), ...given("keyframe_parameters", draft.keyframe_parameters),
		...given("continuity", draft.continuity !== "independent" && draft.continuity),
		...given("fit", draft.fit !== "exact" && draft.fit), ...given("save_frames", draft.save_frames),
		...(storyboard && { storyboard: { title: storyboard.title, shots: storyboard.shots.map(shotRequest) } }),
	};
}

/** The body of `POST /api/v1/storyboards`. */
export function planRequest(draft) {
	const named = [["mood", draft.mood], ["color_palette", draft.color_palette]].filter(([, value]) => value.trim());
	const own = draft.style.filter(([key, value]) => key.trim() || value.trim());
	const style = Object.fromEntries([...named, ...own].map(([key, value]) => [key.trim(), value.trim()]));
	return {
		user_prompt: draft.user_prompt.trim(), ...given("model_id", draft.model_id), ...given("style_preferences", style),
		...(!draft.storyboard && given("max_shots", draft.max_shots && Number(draft.max_shots))),
	};
}

/** `{name: value}`, or nothing where the value is empty. */
const given = (name, value) =>
	(value || value === 0) && (typeof value !== "object" || Object.keys(value).length) ? { [name]: value } : {};

/** A shot as a form holds it, from an answer; without one, a new shot. */
export const shotDraft = (shot = { description: "", camera_move: "static" }) => ({
	description: shot.description, camera_move: shot.camera_move, duration_seconds: String(shot.duration_seconds ?? ""),
	seed: String(shot.seed ?? ""), keyframe_prompt: shot.keyframe_prompt ?? "",
	keyframe_image: shot.keyframe_image ?? "", parameters: { ...shot.parameters },
});

/** A shot as a request says it. */
export const shotRequest = (shot) => ({
	description: shot.description.trim(), camera_move: shot.camera_move, ...given("parameters", shot.parameters),
	...given("duration_seconds", shot.duration_seconds && Number(shot.duration_seconds)),
	...given("seed", shot.seed && Number(shot.seed)), ...given("keyframe_prompt", shot.keyframe_prompt.trim()),
	...given("keyframe_image", shot.keyframe_image),
});

/** A storyboard as the form holds it; a shot's length is left open where it is what shots have anyway, in seconds. */
export const storyboardDraft = ({ title, shots }, length) => ({ title, shots: shots.map((shot) => (
	{ ...shotDraft(shot), ...(Math.abs(shot.duration_seconds - length) < 0.05 && { duration_seconds: "" }) })) });

/** The draft that asks for `job` again, storyboard, seeds and all. */
export function draftOf(job, models) {
	const schema = (id) => models.find((model) => model.id === id);
	const can = schema(job.model_id)?.capabilities;
	const { mood = "", color_palette = "", ...style } = job.style_preferences;
	const numbers = NUMBERS.filter((name) => job[name] !== (can?.[name]?.default ?? null)).map((name) => [name, String(job[name])]);
	const isOwn = job.keyframe_model_id !== schema(job.model_id)?.keyframe_model;
	return {
		...emptyDraft(), user_prompt: job.user_prompt, model_id: job.model_id, seed: String(job.seed), mood, color_palette,
		style: Object.entries(style), negative_prompt: job.negative_prompt ?? "", numbers: Object.fromEntries(numbers),
		parameters: differing(job.parameters, schema(job.model_id)?.parameters), max_shots: String(job.max_shots || 3),
		reference: job.reference_image ? { file_id: job.reference_image } : null, focus: job.focus,
		keyframe_model_id: (isOwn && job.keyframe_model_id) || "", continuity: job.continuity, fit: job.fit,
		keyframe_parameters: differing(job.keyframe_parameters, schema(job.keyframe_model_id)?.parameters),
		save_frames: job.save_frames, priority: job.priority ? String(job.priority) : "",
		storyboard: job.storyboard && hasEnded(job) ? storyboardDraft(job.storyboard, job.num_frames / job.fps) : null,
	};
}

/** The numbers that differ from the model's defaults; a size from a list is named whole. */
function numbersOf({ numbers }, model) {
	const can = model?.capabilities ?? {};
	const given = NUMBERS.filter((name) => numbers[name] && can[name] && Number(numbers[name]) !== can[name].default);
	const size = can.sizes && given.some((name) => SIZE.includes(name)) ? SIZE : [];
	return Object.fromEntries([...size, ...given].map((name) => [name, Number(numbers[name] || can[name].default)]));
}

/** The parameters that the schema knows, and that are not its defaults. */
const differing = (values, schema) => Object.fromEntries(Object.entries(values).filter(([name, value]) =>
	value !== null && schema?.properties[name] && value !== schema.properties[name].default));
