// The review page: a grid of one class, one image in large, a decision by a key.

import { BoxEditor } from "./boxes.js";
import { Outbox } from "./outbox.js";
import { groupOf, Queue } from "./queue.js";
import * as server from "./server.js";
import { Timer } from "./timer.js";

const POLL = 20000; // milliseconds
const WORDS = { open: "open", accept: "accepted", reject: "rejected", correct: "corrected", skip: "skipped" };
const element = (id) => document.getElementById(id);
const timer = new Timer();
const editor = new BoxEditor(element("boxes"), edited);
let me, round, queue, outbox, item, waiting, seconds;

async function start() {
  const theme = localStorage.getItem("theme"); // Airflow's choice
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  me = await server.readRounds();
  if (!me.rounds.length) return say("Nobody is asked anything in this run yet.");
  const options = me.rounds.map(({ number }) => new Option(`round ${number}`, number));
  element("round").replaceChildren(...options);
  element("round").hidden = false;
  const open = me.rounds.findLast(({ is_closed }) => !is_closed) ?? me.rounds.at(-1);
  element("round").value = open.number;
  await openRound();
  setInterval(() => document.hidden || refresh(), POLL);
}

async function openRound() {
  round = me.rounds.find(({ number }) => number === Number(element("round").value));
  queue = new Queue(await server.readQueue(round.number), me.author);
  outbox = new Outbox(`boxloop-review/${server.place}/${round.number}/${me.author}`, {
    send: ((number) => (answer) => server.sendDecision(number, answer))(round.number),
    changed: arrived,
    refused: (answer, reason) => complain(`Not saved, ${answer.image_id}: ${reason}.`) || refresh(),
  });
  element("class").replaceChildren(...queue.classNames.map((name) => new Option(name)));
  await refresh();
  document.querySelector("main").hidden = false;
  item = null;
  show(queue.items.find((each) => queue.stateOf(each) === "open") ?? queue.items[0]);
  say(lockReason() || "");
  outbox.resume();
}

async function refresh() {
  try {
    const { progress, standing } = await server.readDecisions(round.number);
    queue.update(standing, outbox.waiting);
    seconds = progress.seconds;
    round.is_closed = progress.is_closed;
    waiting = me.may_decide && !progress.is_closed ? await server.findWaiting(round.map_index) : null;
    if (outbox.trouble === "") complain("");
  } catch (error) {
    complain(`The server does not answer: ${error.message}.`);
  }
  editor.isLocked = Boolean(lockReason());
  paint();
}

function lockReason() {
  if (round.is_closed) return "This review is closed: what was decided is in the dataset.";
  return me.may_decide ? "" : "You may look, not decide: that takes the right to answer waiting tasks.";
}

function show(next) {
  if (!next) return;
  const grid = element("grid");
  const hadFocus = grid.contains(document.activeElement);
  item = next;
  const picture = element("picture");
  element("blank").hidden = true;
  picture.hidden = false;
  picture.src = server.imageAddress(round.number, item.image_id, "view");
  element("stage").style.setProperty("--ratio", item.width / item.height);
  editor.show({ ...item, boxes: queue.boxesOf(item), newClass: item.class_name ?? item.image_label ?? queue.classNames[0] });
  timer.stop();
  paint();
  const current = grid.querySelector("[aria-current]");
  current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (hadFocus) current?.focus({ preventScroll: true });
}

function shown() {
  timer.start();
  const next = queue.nextOpen(item);
  if (next) new Image().src = server.imageAddress(round.number, next.image_id, "view");
}

function edited() {
  if (queue.isChanged(item, editor.boxes)) queue.drafts.set(item.image_id, editor.boxes.map((box) => ({ ...box })));
  else queue.drafts.delete(item.image_id);
  paintTools();
}

function decide(action) {
  if (lockReason()) return say(lockReason());
  const bare = { image_id: item.image_id, action, boxes: [] };
  const answer = action === "accept" ? queue.answerOf(item, editor.boxes) : bare;
  if (!answer) return say("There is no box to accept: draw one, or reject.");
  const spent = { ...answer, seconds: timer.stop() };
  queue.drafts.delete(item.image_id);
  queue.apply(spent);
  outbox.put(spent);
  say(`${item.image_id}: ${WORDS[answer.action]}.`);
  const next = queue.nextOpen(item);
  if (next) show(next);
  else {
    show(item);
    say("All images are decided or skipped. Press “Done: go on” when you are content.");
  }
}

function undo() {
  if (lockReason()) return say(lockReason());
  const last = queue.newestOwn();
  if (!last) return say("There is no decision of yours to take back.");
  const answer = { image_id: last.image_id, action: "undo", boxes: [], seconds: timer.stop() };
  queue.apply(answer);
  outbox.put(answer);
  show(last);
  say(`${last.image_id}: taken back.`);
}

function arrived(said) {
  if (said) {
    seconds = said.progress.seconds;
    if (!outbox.waiting.length) refresh();
  }
  const count = outbox.waiting.length;
  complain(outbox.trouble && `Not saved yet: ${count} (${outbox.trouble}). Trying again; keep this page open.`);
}

function move(step) {
  const own = queue.groups.get(groupOf(item));
  show(own[own.indexOf(item) + step]);
}

function columns() {
  const tops = [...element("grid").children].map((each) => each.offsetTop);
  return Math.max(tops.filter((top) => top === tops[0]).length, 1);
}

function changeGroup(step) {
  const names = queue.groupNames;
  openGroup(names.at((names.indexOf(groupOf(item)) + step) % names.length));
}

function openGroup(name) {
  const own = queue.groups.get(name);
  show(own.find((each) => queue.stateOf(each) === "open") ?? own[0]);
}

async function goOn() {
  const open = queue.items.filter((each) => !queue.isDone(each)).length;
  element("ask-text").textContent = outbox.waiting.length
    ? "Some decisions are not saved yet. Wait until they are."
    : open ? `${open} of ${queue.items.length} images are not decided. They get no answer in this round.`
    : "All images are decided. The run goes on with them.";
  element("ask-yes").hidden = outbox.waiting.length > 0;
  element("ask").returnValue = "";
  element("ask").showModal();
}

async function answered() {
  if (element("ask").returnValue !== "yes" || !waiting) return;
  try {
    await server.goOn(waiting);
    waiting = null;
    say("The run goes on. Thank you.");
  } catch (error) {
    complain(`The run could not be told to go on: ${error.message}.`);
  }
  paint();
}

function paint() {
  if (!item) return;
  const done = queue.items.filter((each) => queue.isDone(each)).length;
  element("bar").max = queue.items.length;
  element("bar").value = done;
  element("counts").textContent = `${done} of ${queue.items.length} decided · ${duration(seconds)}`;
  element("done").disabled = !waiting;
  element("done").title = waiting ? "" : "The task that waits for this review is not waiting now";
  paintClasses();
  paintGrid();
  paintTools();
}

function paintClasses() {
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

function paintGrid() {
  const own = queue.groups.get(groupOf(item));
  const grid = element("grid");
  if (grid.dataset.of !== `${round.number} ${groupOf(item)}`) {
    grid.dataset.of = `${round.number} ${groupOf(item)}`;
    grid.replaceChildren(...own.map(thumbnail));
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

function thumbnail(each) {
  const button = document.createElement("button");
  const crop = document.createElement("img");
  crop.alt = "";
  crop.loading = "lazy";
  crop.src = server.imageAddress(round.number, each.image_id, "crop");
  button.append(crop, document.createElement("span"));
  button.addEventListener("click", () => show(each));
  return button;
}

function paintTools() {
  const isChanged = queue.isChanged(item, editor.boxes);
  const own = queue.groups.get(groupOf(item));
  const sure = item.p_right ?? item.score;
  element("title").textContent = `${groupOf(item)} ${own.indexOf(item) + 1} of ${own.length}: ${WORDS[queue.stateOf(item)]}`;
  element("why").textContent = [item.reason, sure === null ? "" : `${Math.round(sure * 100)} % sure`, item.image_id].filter(Boolean).join(" · ");
  element("picture").alt = `Image ${item.image_id}, labelled ${item.image_label ?? "nothing"}`;
  element("accept-word").textContent = isChanged && editor.boxes.length ? "Save correction" : "Accept";
  const chosen = editor.boxes[editor.chosen];
  if (chosen) element("class").value = chosen.class_name;
  else if (queue.classNames.includes(groupOf(item))) element("class").value = groupOf(item);
  const isLocked = Boolean(lockReason());
  for (const id of ["accept", "reject", "skip", "undo", "class", "add"]) element(id).disabled = isLocked;
  element("remove").disabled = isLocked || !editor.boxes.length;
  element("reset").disabled = isLocked || !isChanged;
  element("boxes").classList.toggle("rejected", queue.stateOf(item) === "reject");
}

function reset() {
  queue.drafts.delete(item.image_id);
  editor.show({ ...item, boxes: item.box ? [{ class_name: item.class_name, ...item.box }] : [], newClass: item.class_name ?? item.image_label ?? queue.classNames[0] });
  paintTools();
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

function say(text) {
  element("says").textContent = text;
}

function complain(text) {
  element("trouble").textContent = text;
  element("trouble").hidden = !text;
}

const KEYS = {
  a: () => decide("accept"), r: () => decide("reject"), s: () => decide("skip"), u: undo,
  n: () => show(queue.nextOpen(item)), b: () => editor.add(), c: () => element("class").focus(),
  "[": () => changeGroup(-1), "]": () => changeGroup(1),
  ArrowRight: () => move(1), ArrowLeft: () => move(-1),
  ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()),
  Delete: () => editor.remove(), Backspace: () => editor.remove(), Escape: reset,
  "?": () => element("help").toggleAttribute("open"),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("select, input") || element("ask").open;
  if (!item || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) act();
});
for (const id of ["accept", "reject", "skip"]) element(id).addEventListener("click", () => decide(id));
element("undo").addEventListener("click", undo);
element("next").addEventListener("click", KEYS.n);
element("add").addEventListener("click", KEYS.b);
element("remove").addEventListener("click", KEYS.Delete);
element("reset").addEventListener("click", reset);
element("class").addEventListener("change", (event) => {
  editor.classify(event.target.value);
  event.target.blur();
});
element("class").addEventListener("keydown", (event) => event.key === "Escape" && event.target.blur());
element("round").addEventListener("change", (event) => openRound() && event.target.blur());
element("picture").addEventListener("load", shown);
element("picture").addEventListener("error", () => {
  element("blank").hidden = false;
  element("picture").hidden = true;
  timer.start();
});
element("done").addEventListener("click", goOn);
element("ask").addEventListener("close", answered);
addEventListener("focus", () => round && refresh());
addEventListener("beforeunload", (event) => outbox?.waiting.length && event.preventDefault());
setInterval(() => item && (element("clock").textContent = `${timer.seconds.toFixed(1)} s`), 200);
start().catch((error) => complain(`The review cannot be shown: ${error.message}.`));
