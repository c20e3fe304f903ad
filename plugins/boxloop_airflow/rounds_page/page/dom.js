// Small helpers for the document. Text is always set as text.

export const element = (id) => document.getElementById(id);

/** make("td", { class: "soft", title: "x" }, "text", child) */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const row = (name, ...cells) => make("tr", {}, ...cells.map((cell) => (cell instanceof Node ? cell : make(name, {}, cell))));

/** A picture from its text; nothing in it is run. */
export function picture(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  return document.adoptNode(parsed);
}

export function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function show(id, isShown) {
  element(id).hidden = !isShown;
}

export function say(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
  element(id).hidden = !text;
}

export function useTheme() {
  const theme = localStorage.getItem("theme"); // Airflow's choice
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
}
