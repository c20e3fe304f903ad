// What came of the rounds: charts that the server draws, and the growth table.

import { element, make, picture, row, show } from "./dom.js";
import { share } from "./words.js";

const MOST_OPEN = 12; // classes
const TITLES = { map50: "mAP@0.5 on the test images", images: "Training images" };

export function paintFigures({ rounds, charts, classes, growth }) {
  show("results", rounds.length > 0);
  element("charts").replaceChildren(...Object.entries(charts).map(([name, text]) => figure(TITLES[name], text)));
  if (!element("classes").dataset.of) element("classes").open = classes.length <= MOST_OPEN;
  element("classes").dataset.of = classes.length;
  show("classes", classes.length > 0);
  element("classes").querySelector(".small").replaceChildren(...classes.map(({ name, chart }) => figure(name, chart)));
  element("growth").replaceChildren(...(growth ? growthTable(growth) : []));
}

function figure(title, text) {
  return make("figure", {}, make("figcaption", {}, title), picture(text));
}

function growthTable({ numbers, classes, total, is_rehearsed: isRehearsed }) {
  const columns = ["class", "now", "increase", "withdrawn", "reviewed", "precision", "at the start", ...numbers.map((number) => `after ${number}`)];
  const head = row("th", ...columns.map((name) => make("th", { scope: "col" }, name)));
  const lines = classes.map((each) => growthLine(each, share(each.precision)));
  const all = growthLine(total, "");
  all.className = "total";
  const note = isRehearsed ? "Precision of adopted boxes, rehearsed on validation images." : "Precision of adopted boxes, on pool images whose true boxes are known.";
  return [
    make("h3", { id: "growth-title" }, "Boxes by class"),
    make("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-labelledby": "growth-title" },
      make("table", { class: "growth" }, make("thead", {}, head), make("tbody", {}, all, ...lines))),
    make("p", { class: "soft" }, note),
  ];
}

function growthLine(each, precision) {
  const increase = each.increase > 0 ? `+${each.increase}` : each.increase;
  return row("td", make("th", { scope: "row" }, each.name), each.totals.at(-1), increase, each.withdrawn, each.reviewed, precision, each.start, ...each.totals);
}
