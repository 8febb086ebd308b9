// The server, as the page speaks to it: JSON over fetch; every failure is an ApiError with words for people.

export class ApiError extends Error {
	/** `status` is 0 where the server could not be reached; `fields` say which are wrong, and why. */
	constructor(status, code, detail, fields = []) {
		super(detail);
		Object.assign(this, { status, code, detail, fields });
	}
}

export const get = (path, query = {}) => ask("GET", path + asQuery(query));
export const post = (path, body) => ask("POST", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
export const remove = (path) => ask("DELETE", path);

/** For what may be gone already: a 404 is null, anything else is thrown on. */
export function unlessGone(error) {
	if (error.status !== 404) throw error;
	return null;
}

let unanswered = null;

/**
 * Post what makes a job. Until that is answered, the same goes out with the same key again: neither a lost answer nor a
 * second click makes a second job.
 */
export async function create(path, body) {
	const said = JSON.stringify([path, body]);
	if (unanswered?.said !== said) unanswered = { said, key: crypto.randomUUID?.() ?? String(Math.random()) };
	const job = await ask("POST", path, body, { "Idempotency-Key": unanswered.key });
	unanswered = null;
	return job;
}

/** Send an image up; answers with its `file_id`, `width`, `height`. */
export function upload(file) {
	const form = new FormData();
	form.append("file", file, file.name || "pasted.png");
	return ask("POST", "/api/v1/upload", form);
}

export function socketUrl(jobId, since) {
	const url = new URL(`/ws/jobs/${encodeURIComponent(jobId)}`, location.href);
	url.protocol = url.protocol.replace("http", "ws");
	url.searchParams.set("since", since);
	return url;
}

async function ask(method, path, body, headers = {}) {
	const isForm = body instanceof FormData;
	const sent = { method, headers: { ...headers }, body: isForm ? body : undefined };
	if (body !== undefined && !isForm) {
		sent.headers["Content-Type"] = "application/json";
		sent.body = JSON.stringify(body);
	}
	let answer;
	try {
		answer = await fetch(path, sent);
	} catch {
		throw new ApiError(0, "unreachable", "The server cannot be reached. Is it running? Nothing here is lost; try again when it is.");
	}
	const said = await answer.json().catch(() => ({}));
	if (answer.status === 401) await signInAgain();
	if (!answer.ok) {
		throw new ApiError(answer.status, said.code || "error", said.detail || answer.statusText, said.fields);
	}
	return said;
}

/** The key was withdrawn, or the cookie is gone: the page itself is refused too then, and asks for a key instead. */
async function signInAgain() {
	const page = await fetch("/", { method: "HEAD" }).catch(() => null);
	if (page?.status === 401) location.reload();
}

function asQuery(query) {
	const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
	return given.length ? `?${new URLSearchParams(given)}` : "";
}
