// What keys do. Those that are a single character can be switched off, for people whose speech or
// tools type them by accident; the browser remembers it.

import { element } from "./view.js";

const OFF = "boxloop-review/keys-off";

/** Call `keys[event.key]()` where `isReady()`; arrows only in the grid, else they scroll. */
export function listenToKeys(keys, isReady) {
  const box = element("keys");
  box.checked = !localStorage.getItem(OFF);
  box.addEventListener("change", () =>
    box.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1"));
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("select, input:not([type=checkbox])");
    if (!isReady() || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const isArrow = event.key.startsWith("Arrow");
    if (isArrow ? !event.target.closest("#grid") : event.key.length === 1 && !box.checked) return;
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    if (!event.repeat || isArrow) act();
  });
}
