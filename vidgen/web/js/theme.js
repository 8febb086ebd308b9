// The chosen theme, set before anything is painted. Without a choice the system's holds.
try {
	const chosen = localStorage.getItem("theme");
	if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
	// Storage is refused: the system's theme it is.
}
