// A few pictures of a round, with boxes drawn over them.

import { element, make, show, svg } from "./dom.js";
import { readExamples } from "./server.js";

const KINDS = {
  tested: ["Test images", "Solid: detected. Dashed: the true boxes.", "Nothing is evaluated yet."],
  adopted: ["Adopted into the training set", "The best detection of images that it was adopted in.", "Nothing was adopted."],
};
const MOST_NAMED = 3;
let asked = "";

/** Offer rounds; the newest is shown unless one was chosen. */
export function offerRounds(numbers, stamp) {
  const select = element("round");
  show("examples", numbers.length > 0);
  if (!numbers.length) return;
  const isNewest = !select.value || Number(select.value) === Number(select.options[0]?.value);
  if (select.options.length !== numbers.length) {
    const chosen = isNewest ? numbers.at(-1) : select.value;
    select.replaceChildren(...[...numbers].reverse().map((number) => new Option(`round ${number}`, number)));
    select.value = chosen;
  }
  select.dataset.stamp = stamp;
  watcher.observe(element("examples"));
  if (asked && asked !== key()) load();
}

const key = () => `${element("round").value} ${element("round").dataset.stamp}`;

/** Pictures are only fetched once somebody comes near them. */
const watcher = new IntersectionObserver((entries) => {
  if (entries.some(({ isIntersecting }) => isIntersecting) && asked !== key()) load();
}, { rootMargin: "200px" });

export async function load() {
  const wanted = asked = key();
  try {
    const found = await readExamples(element("round").value);
    if (wanted === asked) paintShots(found);
  } catch (error) {
    element("shots").replaceChildren(make("p", { class: "soft" }, `There are no pictures: ${error.message}.`));
  }
}

function paintShots(found) {
  const parts = Object.entries(KINDS).flatMap(([kind, [title, words, nothing]]) => [
    make("h3", {}, title),
    make("p", { class: "soft" }, found[kind].length ? words : nothing),
    make("div", { class: "shots" }, ...found[kind].map(shot)),
  ]);
  element("shots").replaceChildren(...parts);
}

function shot({ image_id: name, width, height, picture, boxes, words }) {
  const found = boxes.filter(({ score }) => score !== null).sort((one, other) => other.score - one.score);
  const best = found.slice(0, MOST_NAMED).map((box) => `${box.class_name} ${box.score.toFixed(2)}`).join(", ");
  const listed = found.length > MOST_NAMED ? `${best} and ${found.length - MOST_NAMED} more` : best || "nothing found";
  const frame = make("div", { class: "frame" });
  frame.style.aspectRatio = `${width} / ${height}`;
  if (picture) frame.append(make("img", { src: picture, alt: `${name}: ${listed}` }), outlines(width, height, boxes));
  else frame.append(make("span", { class: "soft" }, "cannot be shown"));
  return make("figure", { class: "shot" }, frame, make("figcaption", {}, make("b", {}, listed), make("span", { class: "soft" }, `${words} · ${name}`)));
}

function outlines(width, height, boxes) {
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (const { edges: [xmin, ymin, xmax, ymax], score } of boxes) {
    const place = { x: xmin, y: ymin, width: xmax - xmin, height: ymax - ymin };
    drawn.append(svg("rect", { ...place, class: "halo" }), svg("rect", { ...place, class: score === null ? "true" : "box" }));
  }
  return drawn;
}
