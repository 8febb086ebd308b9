// Reading the server again and again, while somebody looks at the page.

import { waitForServer } from "./parts.js";

/**
 * Call `read` now and then `everyMs` after it came back, but not while the tab is hidden; returns what ends it. `who`
 * waits for the server where it cannot be reached; `refused` is told of other failures.
 */
export function poll(who, read, everyMs, refused = () => {}) {
	let timer = 0;
	let isReading = false;
	let isOver = false;
	const tick = async () => {
		clearTimeout(timer);
		if (isReading || isOver || document.hidden) return;
		isReading = true;
		let failure = null;
		await read().catch((error) => { failure = error; });
		isReading = false;
		if (isOver) return;
		waitForServer(who, failure?.status === 0);
		timer = setTimeout(tick, everyMs);
		if (failure && failure.status !== 0) refused(failure);
	};
	document.addEventListener("visibilitychange", tick);
	tick();
	return () => {
		isOver = true;
		clearTimeout(timer);
		document.removeEventListener("visibilitychange", tick);
		waitForServer(who, false);
	};
}
