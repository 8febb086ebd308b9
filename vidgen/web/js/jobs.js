// What can be done with a job, wherever it is shown.

import { create, get, post, remove, unlessGone } from "./api.js";
import { confirmDialog, toast } from "./parts.js";

export const hasEnded = (job) => !["queued", "processing"].includes(job.status);
export const canRetry = (job) => ["failed", "cancelled"].includes(job.status);

/** What a job is called: its storyboard's title, else its prompt. */
export const titleOf = (job) => job.storyboard?.title || job.user_prompt;

export const path = (job) => `/api/v1/jobs/${encodeURIComponent(job.id)}`;

export const address = (job) => `#/jobs/${encodeURIComponent(job.id)}`;

export const readJob = (id) => get(path({ id }));
export const cancel = (job) => post(`${path(job)}/cancel`);

/** Ask, then delete the job and its files; `then` is called once they are gone. */
export function removeJob(job, then = () => {}) {
	const text = hasEnded(job)
		? "Its video, clips and recipe are removed from the disk. Other versions of it stay."
		: "It is cancelled first. What has been rendered so far is removed from the disk.";
	confirmDialog({ title: "Delete this job?", text, yes: "Delete" }, async () => {
		await remove(path(job)).catch(unlessGone);
		toast("The job was deleted");
		then();
	});
}

/** Run a failed or cancelled job again, as a new version, and go there. */
export async function retry(job) {
	location.hash = address(await create(`${path(job)}/retry`));
}

export function duplicate(job) {
	location.hash = `#/?from=${encodeURIComponent(job.id)}`;
}

/** The files of a job that can be had now: what each is called, where it is, and the name it is saved by. */
export function downloads(job) {
	const files = [["Video", job.output_video_url], ["Poster", job.poster_url], ["Contact sheet", job.sheet_url]];
	for (const shot of job.storyboard?.shots ?? []) {
		files.push([`Frames of shot ${shot.index + 1}`, shot.frames_url]);
	}
	return files.filter(([, url]) => url).map(([label, url]) => ({
		label, url, name: `${job.id}_${url.slice(url.lastIndexOf("/") + 1)}`,
	}));
}
