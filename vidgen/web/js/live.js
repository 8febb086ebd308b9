// One job's messages as they come: over a WebSocket that is opened again whenever it breaks, from the last number on.

import { socketUrl } from "./api.js";
import { waitForServer } from "./parts.js";

const PING_MS = 25_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;
const UNKNOWN_JOB = 4404;

/**
 * Hear all of a job's messages, each once and in order; the log from its beginning first.
 *
 * `onopen`: connected, for the first time or again; `onunknown`: there is no such job, or no more. Returns what ends it.
 */
export function follow(jobId, { onmessage, onopen, onunknown }) {
	let seq = 0;
	let wait = FIRST_WAIT_MS;
	let isOver = false;
	let isSilent = false;    // since the last ping
	let socket, timer, pings;

	function open() {
		socket = new WebSocket(socketUrl(jobId, seq));
		socket.onopen = () => {
			wait = FIRST_WAIT_MS;
			waitForServer(follow, false);
			isSilent = false;
			pings = setInterval(ping, PING_MS);
			onopen();
		};
		socket.onmessage = ({ data }) => hear(JSON.parse(data));
		socket.onclose = ({ code }) => {
			clearInterval(pings);
			if (isOver) return;
			if (code === UNKNOWN_JOB) onunknown();
			else again();
		};
	}

	/** A connection whose other end went without a word says nothing more; it is opened anew. */
	function ping() {
		if (isSilent) return socket.close();
		isSilent = true;
		return socket.send("ping");
	}

	function hear(message) {
		isSilent = false;
		if (isOver || message.type === "pong" || message.type === "connected" || message.seq <= seq) return;
		seq = message.seq;
		if (message.type === "job_complete" || message.type === "error") end();
		onmessage(message);
	}

	function again() {
		waitForServer(follow, true);
		timer = setTimeout(open, wait);
		wait = Math.min(LONGEST_WAIT_MS, wait * 2);
	}

	function end() {
		isOver = true;
		clearTimeout(timer);
		clearInterval(pings);
		waitForServer(follow, false);
		// A browser complains of a socket that is closed before it is open.
		if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
		else socket.close();
	}

	open();
	return end;
}
