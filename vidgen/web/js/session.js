// Signing out, for who signed in with a key.

import { remove } from "./api.js";
import { iconButton, toast } from "./parts.js";

/** Put a button into `root` where somebody signed in with this browser; sign_in.html leaves the mark. */
export function mountSignOut(root) {
	if (!isMarked()) return;
	root.prepend(iconButton("Sign out", "exit", { onclick: () => signOut().catch(({ detail }) => toast(detail)) }));
}

async function signOut() {
	await remove("/api/v1/session");
	localStorage.removeItem("signed-in");
	location.reload();
}

function isMarked() {
	try {
		return localStorage.getItem("signed-in") !== null;
	} catch {
		return false;    // storage is refused
	}
}
