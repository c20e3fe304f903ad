// Where the time of each round went: a bar, and the numbers.

import { element, make, row, show, svg } from "./dom.js";
import { long, percent } from "./words.js";

const PARTS = [["train", "train"], ["predict", "predict"], ["rest", "rest"], ["people", "for people"]];
let painted = "";

export function paintTimes(times) {
  show("times", times.length > 0);
  const text = JSON.stringify(times);
  if (text === painted || !times.length) return;
  painted = text;
  const longest = Math.max(...times.map(({ whole }) => whole), 1);
  const total = { round: "all" };
  for (const key of ["whole", "queued", ...PARTS.map(([key]) => key)]) total[key] = times.reduce((sum, each) => sum + each[key], 0);
  const head = ["round", make("th", { class: "bars" }), "whole", ...PARTS.map(([key, word]) => make("th", { scope: "col" }, make("i", { class: `swatch ${key}` }), word)), "queued"];
  const body = [...times].reverse().map((each) => timeLine(each, longest));
  element("times").querySelector("table").replaceChildren(
    make("thead", {}, row("th", ...head)), make("tbody", {}, timeLine(total, total.whole, true), ...body));
}

function timeLine(times, longest, isTotal = false) {
  const work = times.whole - times.people;
  const parts = PARTS.map(([key]) => {
    const told = key === "people" ? "" : percent(times[key], work);
    return make("td", {}, times[key] >= 0.05 ? long(times[key]) : "–", make("small", {}, ` ${times[key] >= 0.05 ? told : ""}`));
  });
  const made = row("td", make("th", { scope: "row" }, times.round), make("td", { class: "bars" }, bar(times, longest)), long(times.whole), ...parts, long(times.queued));
  if (isTotal) made.className = "total";
  return made;
}

function bar(times, longest) {
  const drawn = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  let from = 0;
  for (const [key] of PARTS) {
    const width = (100 * times[key]) / Math.max(longest, 1);
    drawn.append(svg("rect", { x: from, y: 0, width, height: 10, class: key }));
    from += width;
  }
  return drawn;
}
