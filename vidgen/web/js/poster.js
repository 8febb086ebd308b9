// A picture for a job, whatever there is of it: its poster, else the latest picture of one of its shots.

import { h, icon } from "./dom.js";

/** The address of the best picture of `job`; null where there is none yet. */
function pictureOf(job) {
	const shots = job.storyboard?.shots ?? [];
	const latest = (name) => shots.findLast((shot) => shot[name])?.[name];
	const preview = latest("preview_url");    // one name, whose content changes
	return job.poster_url ?? latest("poster_url") ?? (preview && `${preview}?at=${job.progress_percentage}`)
		?? latest("keyframe_url") ?? null;
}

/** The picture, or an icon in its place. It is decoration: the words are beside it. */
export function posterOf(job) {
	const picture = pictureOf(job);
	const image = picture ? h("img", { src: picture, alt: "", loading: "lazy", decoding: "async" }) : icon("film");
	return h("span", { class: "poster" }, image);
}
