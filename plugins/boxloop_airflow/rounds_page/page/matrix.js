// Tasks by rounds: built once, then only cells that have changed are painted.

import { element, make, row } from "./dom.js";
import { logAddress } from "./server.js";
import { long, plural, share, short, signOf, wordOf } from "./words.js";

let shape = "";
let cells = []; // { link, task, round, value }
let shows = "worked";

export function paintMatrix(state) {
  const next = JSON.stringify([state.rounds, state.rows.map(({ id }) => id), state.singles.map(({ id }) => id)]);
  if (next !== shape) build(state);
  const isNew = next !== shape;
  shape = next;
  const found = [
    ...state.rows.flatMap((each) => each.cells),
    ...state.singles.map((each) => each.cell),
  ];
  cells.forEach((cell, place) => paintCell(cell, found[place], state.now));
  paintLegend(state);
  if (isNew) scrollToWork();
}

export function showTimes(kind, now) {
  shows = kind;
  for (const cell of cells) paintTime(cell, now);
}

/** Let the times of what runs grow. */
export function tick(now) {
  for (const cell of cells) if (isLive(cell.value)) paintTime(cell, now);
}

export function paintMeans(rounds) {
  for (const each of document.querySelectorAll("[id^=mean-]")) each.textContent = ""; // some may be undone
  for (const { number, map50 } of rounds) {
    const found = element(`mean-${number}`);
    if (found) found.textContent = share(map50);
  }
}

function build(state) {
  const numbers = Array.from({ length: state.rounds }, (_, index) => index + 1);
  cells = [];
  const rows = state.rows.map(({ id, name }) =>
    row("td", make("th", { scope: "row" }, name), ...numbers.map((number) => make("td", {}, newCell(id, name, number)))));
  const head = row("th", make("th", { scope: "col" }, "round"), ...numbers.map((number) => make("th", { scope: "col" }, number)));
  const means = row("td", make("th", { scope: "row" }, "mAP@0.5"), ...numbers.map((number) => make("td", { id: `mean-${number}` })));
  element("matrix").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows), make("tfoot", {}, means));
  element("scroll").hidden = !state.rounds;
  element("before").replaceChildren();
  element("after").replaceChildren();
  for (const { id, name, is_first: isFirst } of state.singles) {
    element(isFirst ? "before" : "after").append(make("li", {}, make("span", {}, name), newCell(id, name, null)));
  }
}

function newCell(task, name, round) {
  const link = make("a", { class: "cell" }, make("span", { class: "sign", "aria-hidden": "true" }), make("span", { class: "time" }), make("span", { class: "tries" }));
  cells.push({ link, task, name, round, value: undefined, text: "" });
  return link;
}

function paintCell(cell, value, now) {
  const text = JSON.stringify(value);
  if (text === cell.text) return;
  Object.assign(cell, { value, text });
  const state = value?.state ?? "none";
  cell.link.dataset.state = state;
  if (value && state !== "none") cell.link.href = logAddress(cell.task, cell.round === null ? -1 : cell.round - 1);
  else cell.link.removeAttribute("href");
  cell.link.children[0].textContent = signOf(state);
  cell.link.children[2].textContent = value?.tries ? `×${value.tries}` : "";
  paintTime(cell, now);
}

function paintTime(cell, now) {
  const times = timesOf(cell.value, cell.name, now);
  const seconds = times[shows];
  cell.link.children[1].textContent = seconds === undefined || (shows !== "worked" && seconds < 0.05) ? "" : short(seconds);
  const label = describe(cell, times);
  cell.link.title = label;
  cell.link.setAttribute("aria-label", label);
}

const WAITS = ["deferred", "awaiting_input", "up_for_reschedule"];

function isLive(value) {
  return value && (value.since || (value.start && value.seconds === undefined));
}

function timesOf(value, name, now) {
  if (!value) return {};
  if (value.since && name === "gate") return { waiting: Math.max(now - value.since, 0) };
  if (value.since) return { queued: Math.max(now - value.since, 0) };
  if (!value.start) return {};
  const seconds = value.seconds ?? Math.max(now - value.start, 0);
  if (name === "gate") return { waiting: value.waiting ?? Math.max(now - (value.could ?? value.start), 0) };
  const waits = WAITS.includes(value.state);
  const waiting = value.waiting ?? (waits ? seconds : 0);
  return { worked: waits ? undefined : Math.max(seconds - waiting, 0), waiting, queued: value.queued };
}

function describe({ name, round, value }, { worked, waiting, queued }) {
  const parts = [wordOf(value?.state ?? "none")];
  if (worked !== undefined) parts.push(long(worked));
  if (waiting >= 0.05) parts.push(`${long(waiting)} waiting`);
  if (queued >= 0.05) parts.push(`${long(queued)} queued`);
  if (value?.tries) parts.push(plural(value.tries, "try").replace("trys", "tries"));
  return `${name}${round === null ? "" : `, round ${round}`}: ${parts.join(", ")}`;
}

function paintLegend(state) {
  const there = [...state.rows.flatMap((each) => each.cells), ...state.singles.map((each) => each.cell)];
  const states = [...new Set(there.map((each) => each?.state ?? "none"))].sort();
  const text = states.join();
  const legend = element("legend");
  if (legend.dataset.of === text) return;
  legend.dataset.of = text;
  legend.replaceChildren(...states.map((each) =>
    make("li", {}, make("span", { class: "cell", "data-state": each }, make("span", { class: "sign" }, signOf(each))), ` ${wordOf(each)}`)));
}

/** Bring the first round that is not over into sight. */
function scrollToWork() {
  const open = cells.find(({ round, value }) => round && !["success", "skipped"].includes(value?.state));
  const cell = open ?? cells.findLast(({ round, value }) => round && value?.state === "success");
  const box = element("scroll");
  if (cell) box.scrollLeft = cell.link.offsetParent.offsetLeft + cell.link.offsetLeft - box.clientWidth * 0.7;
}
