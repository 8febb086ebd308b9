// What is being composed: kept over reloads, made from an earlier job, and turned into a request.

import { hasEnded } from "./jobs.js";

const KEY = "draft";

/** Everything that the form holds. Numbers are kept as they were typed; empty means the default. */
export const emptyDraft = () => ({
  user_prompt: "", reference: null, focus: [0.5, 0.5], model_id: "", max_shots: "3", seed: "", mood: "",
  color_palette: "", style: [], negative_prompt: "", numbers: {}, parameters: {}, keyframe_model_id: "",
  keyframe_parameters: {}, continuity: "independent", fit: "exact", save_frames: false, priority: "",
  storyboard: null,
});

export const emptyShot = () => ({
  description: "", camera_move: "static", duration_seconds: "", seed: "", keyframe_prompt: "", keyframe_image: "",
  parameters: {},
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
  const body = { ...planRequest(draft), ...numbersOf(draft, model) };
  if (draft.reference) body.reference_image = draft.reference.file_id;
  if (draft.reference && draft.focus.some((share) => share !== 0.5)) body.focus = draft.focus;
  if (draft.seed !== "") body.seed = Number(draft.seed);
  if (draft.negative_prompt.trim() && model?.capabilities.supports_negative_prompt) {
    body.negative_prompt = draft.negative_prompt.trim();
  }
  const own = Object.fromEntries(Object.entries(draft.parameters).filter(([name]) => model?.parameters.properties[name]));
  if (Object.keys(own).length) body.parameters = own;
  if (draft.keyframe_model_id) body.keyframe_model_id = draft.keyframe_model_id;
  if (Object.keys(draft.keyframe_parameters).length) body.keyframe_parameters = draft.keyframe_parameters;
  if (draft.continuity !== "independent") body.continuity = draft.continuity;
  if (draft.fit !== "exact") body.fit = draft.fit;
  if (draft.save_frames) body.save_frames = true;
  if (Number(draft.priority)) body.priority = Number(draft.priority);
  if (draft.storyboard) {
    body.storyboard = { title: draft.storyboard.title, shots: draft.storyboard.shots.map(shotRequest) };
  }
  return body;
}

/** The body of `POST /api/v1/storyboards`. */
export function planRequest(draft) {
  const named = [["mood", draft.mood], ["color_palette", draft.color_palette]].filter(([, value]) => value.trim());
  const own = draft.style.filter(([key, value]) => key.trim() || value.trim());
  const style = Object.fromEntries([...named, ...own].map(([key, value]) => [key.trim(), value.trim()]));
  const body = { user_prompt: draft.user_prompt.trim() };
  if (draft.model_id) body.model_id = draft.model_id;
  if (draft.max_shots !== "" && !draft.storyboard) body.max_shots = Number(draft.max_shots);
  if (Object.keys(style).length) body.style_preferences = style;
  return body;
}

/** A shot as a request says it. */
export function shotRequest(shot) {
  const said = { description: shot.description.trim(), camera_move: shot.camera_move };
  for (const name of ["duration_seconds", "seed"]) if (shot[name] !== "") said[name] = Number(shot[name]);
  for (const name of ["keyframe_prompt", "keyframe_image"]) if (shot[name].trim()) said[name] = shot[name].trim();
  if (Object.keys(shot.parameters).length) said.parameters = shot.parameters;
  return said;
}

/** A shot as a form holds it, from an answer. */
export function shotDraft(shot) {
  return {
    description: shot.description, camera_move: shot.camera_move, duration_seconds: String(shot.duration_seconds ?? ""),
    seed: String(shot.seed ?? ""), keyframe_prompt: shot.keyframe_prompt ?? "",
    keyframe_image: shot.keyframe_image ?? "", parameters: { ...shot.parameters },
  };
}

/** The draft that asks for `job` again, storyboard, seeds and all. */
export function draftOf(job, models) {
  const model = models.find(({ id }) => id === job.model_id);
  const { mood = "", color_palette = "", ...style } = job.style_preferences;
  return {
    ...emptyDraft(), user_prompt: job.user_prompt, model_id: job.model_id, seed: String(job.seed), mood, color_palette,
    style: Object.entries(style), negative_prompt: job.negative_prompt ?? "", numbers: numbersOfJob(job, model),
    parameters: notDefault(job.parameters, model?.parameters), max_shots: String(job.max_shots || 3),
    reference: job.reference_image ? { file_id: job.reference_image } : null, focus: job.focus ?? [0.5, 0.5],
    keyframe_model_id: keyframeModel(job, model), continuity: job.continuity, fit: job.fit ?? "exact",
    keyframe_parameters: notDefault(job.keyframe_parameters ?? {}, parametersOf(models, job.keyframe_model_id)),
    save_frames: job.save_frames ?? false, priority: job.priority ? String(job.priority) : "",
    storyboard: job.storyboard && hasEnded(job) ? storyboardDraft(job.storyboard, job.num_frames / job.fps) : null,
  };
}

/** A storyboard as the form holds it; a shot's length is left open where it is what shots have anyway, in seconds. */
export const storyboardDraft = ({ title, shots }, length) => ({ title, shots: shots.map((shot) => (
  { ...shotDraft(shot), ...(Math.abs(shot.duration_seconds - length) < 0.05 && { duration_seconds: "" }) })) });

const NUMBERS = ["width", "height", "num_frames", "fps", "num_inference_steps"];

/** The numbers that differ from the model's defaults; a size from a list is named whole. */
function numbersOf({ numbers }, model) {
  const can = model?.capabilities ?? {};
  const isGiven = (name) => numbers[name] && can[name]
    && (Number(numbers[name]) !== can[name].default || (can.sizes && ["width", "height"].includes(name)));
  return Object.fromEntries(NUMBERS.filter(isGiven).map((name) => [name, Number(numbers[name])]));
}

function numbersOfJob(job, model) {
  const can = model?.capabilities ?? {};
  const size = can.sizes && (job.width !== can.width.default || job.height !== can.height.default);
  const given = NUMBERS.filter((name) => job[name] !== null && job[name] !== can[name]?.default);
  return Object.fromEntries([...given, ...(size ? ["width", "height"] : [])].map((name) => [name, String(job[name])]));
}

function notDefault(values, schema) {
  return Object.fromEntries(Object.entries(values).filter(([name, value]) =>
    value !== null && value !== schema?.properties[name]?.default));
}

const parametersOf = (models, id) => models.find((model) => model.id === id)?.parameters;
const keyframeModel = (job, model) =>
  job.keyframe_model_id && job.keyframe_model_id !== model?.keyframe_model ? job.keyframe_model_id : "";
