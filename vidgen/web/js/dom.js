// Elements, made and changed by hand. Text from users and models is only ever set as text, never as markup.

/**
 * Make an element. `props` are attributes, `on…` listeners, and `style` and `dataset` as objects; false, null and
 * undefined leave an attribute out, true sets it empty. `children` are nodes and text, nested or left out likewise.
 */
export function h(tag, props = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(props)) set(element, name, value);
	element.append(...nodes(children));
	return element;
}

/** An inline SVG icon of the sprite in index.html, by name; decoration unless it is given a label. */
export function icon(name, label = null) {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	svg.setAttribute("class", "icon");
	svg.setAttribute("viewBox", "0 0 24 24");
	if (label) {
		svg.setAttribute("role", "img");
		svg.setAttribute("aria-label", label);
	} else {
		svg.setAttribute("aria-hidden", "true");
	}
	const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
	use.setAttribute("href", `#icon-${name}`);
	svg.append(use);
	return svg;
}

export function fill(element, ...children) {
	element.replaceChildren(...nodes(children));
	return element;
}

/** Give `list` these children in this order, moving only those that stand wrong; the focus stays where it is. */
export function arrange(list, elements) {
	const focused = document.activeElement;
	for (const child of [...list.children]) if (!elements.includes(child)) child.remove();
	elements.forEach((element, at) => {
		if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
	});
	if (focused !== document.activeElement && list.contains(focused)) focused.focus();
}

/** Set text only where it differs, so that a selection, or what a screen reader reads, is not disturbed. */
export function say(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/** Tell people who listen rather than look. */
export function announce(text) {
	say(document.getElementById("announcer"), text);
}

function set(element, name, value) {
	if (value === false || value === null || value === undefined) return;
	if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
	else if (name === "style" || name === "dataset") Object.assign(element[name], value);
	else if (name === "value" || name === "checked") element[name] = value;
	else element.setAttribute(name, value === true ? "" : value);
}

function nodes(children) {
	return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
