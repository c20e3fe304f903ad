// What is on the page: everything painted from one object, `page`, that review.js keeps.
//
//   me: author, may_decide; round: number, is_closed; queue: a Queue; item: the one in large;
//   editor: a BoxEditor; waiting: Airflow's request, if it waits; seconds: spent by all people;
//   open(item), openGroup(name): what a click does

import { groupOf } from "./queue.js";
import { imageAddress } from "./server.js";

const WORDS = { open: "open", accept: "accepted", reject: "rejected", correct: "corrected", skip: "skipped" };

export const element = (id) => document.getElementById(id);

export const wordOf = (action) => WORDS[action];

export function lockReason({ me, round }) {
  if (round.is_closed) return "This review is closed: what was decided is in the dataset.";
  return me.may_decide ? "" : "You may look, not decide: that takes the right to answer waiting tasks.";
}

export function paint(page) {
  const { queue, item, seconds, waiting } = page;
  if (!item) return;
  const done = queue.items.filter((each) => queue.isDone(each)).length;
  element("bar").max = queue.items.length;
  element("bar").value = done;
  element("counts").textContent = `${done} of ${queue.items.length} decided · ${duration(seconds)}`;
  element("done").disabled = !waiting;
  element("done").title = waiting ? "" : "The task that waits for this review is not waiting now";
  paintClasses(page);
  paintGrid(page);
  paintTools(page);
}

function paintClasses({ queue, item, openGroup }) {
  const buttons = queue.groupNames.map((name) => {
    const own = queue.groups.get(name);
    const button = document.createElement("button");
    button.textContent = `${name} ${own.filter((each) => queue.isDone(each)).length}/${own.length}`;
    button.setAttribute("aria-pressed", name === groupOf(item));
    button.addEventListener("click", () => openGroup(name));
    return button;
  });
  replaceKeepingFocus(element("classes"), buttons);
}

function paintGrid({ queue, item, round, open }) {
  const own = queue.groups.get(groupOf(item));
  const grid = element("grid");
  if (grid.dataset.of !== `${round.number} ${groupOf(item)}`) {
    grid.dataset.of = `${round.number} ${groupOf(item)}`;
    grid.replaceChildren(...own.map((each) => thumbnail(round, each, open)));
  }
  [...grid.children].forEach((button, index) => {
    const state = queue.stateOf(own[index]);
    const isCurrent = own[index] === item;
    button.dataset.state = state;
    button.tabIndex = isCurrent ? 0 : -1;
    if (isCurrent) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    button.setAttribute("aria-label", `${groupOf(item)}, image ${index + 1} of ${own.length}: ${WORDS[state]}`);
    button.lastChild.textContent = state === "open" ? (own[index].box ? "" : "draw") : WORDS[state];
  });
}

function thumbnail(round, each, open) {
  const button = document.createElement("button");
  const crop = document.createElement("img");
  crop.alt = "";
  crop.loading = "lazy";
  crop.src = imageAddress(round.number, each.image_id, "crop");
  button.append(crop, document.createElement("span"));
  button.addEventListener("click", () => open(each));
  return button;
}

export function paintTools(page) {
  const { queue, item, editor } = page;
  const isChanged = queue.isChanged(item, editor.boxes);
  const own = queue.groups.get(groupOf(item));
  element("title").textContent = `${groupOf(item)} ${own.indexOf(item) + 1} of ${own.length}: ${WORDS[queue.stateOf(item)]}`;
  element("why").textContent = [item.reason, item.score === null ? "" : `score ${item.score.toFixed(2)}`, item.image_id].filter(Boolean).join(" · ");
  element("picture").alt = `Image ${item.image_id}, labelled ${item.image_label ?? "nothing"}`;
  const isCorrection = isChanged || (!item.box && item.others.length > 0);
  element("accept-word").textContent = isCorrection && editor.boxes.length ? "Save correction" : "Accept";
  const chosen = editor.boxes[editor.chosen];
  if (chosen) element("class").value = chosen.class_name;
  else if (queue.classNames.includes(groupOf(item))) element("class").value = groupOf(item);
  const isLocked = Boolean(lockReason(page));
  for (const id of ["accept", "reject", "skip", "undo", "class", "add"]) element(id).disabled = isLocked;
  element("remove").disabled = isLocked || !editor.boxes.length;
  element("reset").disabled = isLocked || !isChanged;
  element("boxes").classList.toggle("rejected", queue.stateOf(item) === "reject");
}

export function paintQuestion(page, numWaiting) {
  const count = page.queue.items.length;
  const open = page.queue.items.filter((each) => !page.queue.isDone(each)).length;
  element("ask-text").textContent = numWaiting
    ? "Some decisions are being saved. Wait until they are."
    : open ? `${open} of ${count} images are not decided. They get no answer in this round.`
    : "All images are decided. The run goes on with them.";
  element("ask-yes").disabled = numWaiting > 0;
}

/** How many images the grid has in a row. */
export function columns() {
  const tops = [...element("grid").children].map((each) => each.offsetTop);
  return Math.max(tops.filter((top) => top === tops[0]).length, 1);
}

function replaceKeepingFocus(parent, children) {
  const at = [...parent.children].indexOf(document.activeElement);
  parent.replaceChildren(...children);
  parent.children[at]?.focus({ preventScroll: true });
}

function duration(value) {
  const whole = Math.round(value ?? 0);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export function say(text) {
  element("says").textContent = text;
}

export function complain(text) {
  element("trouble").textContent = text;
  element("trouble").hidden = !text;
}

