// The review page: a grid of one class, one image in large, a decision by a key.

import { BoxEditor } from "./boxes.js";
import { Outbox } from "./outbox.js";
import { groupOf, proposalOf, Queue } from "./queue.js";
import * as server from "./server.js";
import { Timer } from "./timer.js";
import { complain, element, lockReason, paint, paintTools, say, wordOf } from "./view.js";

const POLL = 20000; // milliseconds
const timer = new Timer();
const editor = new BoxEditor(element("boxes"), edited);
const page = { editor, open: show, openGroup, refused: "" };
let outbox;
let changes = 0; // decisions made or arrived

async function start() {
  const theme = localStorage.getItem("theme"); // Airflow's choice
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  page.me = await server.readRounds();
  if (!page.me.rounds.length) return say("Nobody is asked anything in this run yet.");
  const options = page.me.rounds.map(({ number }) => new Option(`round ${number}`, number));
  element("round").replaceChildren(...options);
  element("round").hidden = false;
  const open = page.me.rounds.findLast(({ is_closed }) => !is_closed) ?? page.me.rounds.at(-1);
  element("round").value = open.number;
  await openRound();
  setInterval(() => document.hidden || refresh(), POLL);
}

async function openRound() {
  page.round = page.me.rounds.find(({ number }) => number === Number(element("round").value));
  page.queue = new Queue(await server.readQueue(page.round.number), page.me.author);
  outbox = new Outbox(`boxloop-review/${server.place}/${page.round.number}/${page.me.author}`, {
    send: ((number) => (answer) => server.sendDecision(number, answer))(page.round.number),
    arrived,
    refused,
    delayed,
  });
  element("class").replaceChildren(...page.queue.classNames.map((name) => new Option(name)));
  await refresh();
  document.querySelector("main").hidden = false;
  page.item = null;
  show(page.queue.firstOpen() ?? page.queue.items[0]);
  say(lockReason(page) || "");
  outbox.resume();
}

async function refresh() {
  const before = changes;
  try {
    const { progress, standing } = await server.readDecisions(page.round.number);
    if (changes !== before) return; // older than what is on the page
    page.queue.update(standing, outbox.waiting);
    page.seconds = progress.seconds;
    const isNews = progress.is_closed && !page.round.is_closed;
    page.round.is_closed = progress.is_closed;
    if (isNews) say(lockReason(page));
    page.waiting = page.me.may_decide && !progress.is_closed ? await server.findWaiting(page.round.map_index) : null;
    if (!outbox.trouble) complain(page.refused);
  } catch (error) {
    complain(`The server does not answer: ${error.message}.`);
  }
  editor.isLocked = Boolean(lockReason(page));
  paint(page);
}

function show(next) {
  if (!next) return;
  const grid = element("grid");
  const hadFocus = grid.contains(document.activeElement);
  page.item = next;
  const picture = element("picture");
  element("blank").hidden = true;
  picture.style.visibility = "hidden"; // browsers go on showing the old one until the new one is there
  page.isShown = false;
  picture.src = server.imageAddress(page.round.number, page.item.image_id, "view");
  element("stage").style.setProperty("--ratio", page.item.width / page.item.height);
  edit(page.queue.boxesOf(page.item));
  timer.stop();
  paint(page);
  const current = grid.querySelector("[aria-current]");
  current?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (hadFocus) current?.focus({ preventScroll: true });
}

function edit(boxes) {
  const { width, height, class_name, image_label } = page.item;
  editor.show({ width, height, boxes, newClass: class_name ?? image_label ?? page.queue.classNames[0] });
}

function shown() {
  page.isShown = true;
  element("picture").style.visibility = "";
  timer.start();
  const next = page.queue.nextOpen(page.item);
  if (next) new Image().src = server.imageAddress(page.round.number, next.image_id, "view");
}

function edited() {
  page.queue.keepDraft(page.item, editor.boxes);
  paintTools(page);
}

function decide(action) {
  if (lockReason(page)) return say(lockReason(page));
  if (!page.isShown && action !== "skip") return say("There is no picture yet: wait, or skip.");
  const bare = { image_id: page.item.image_id, action, boxes: [] };
  const answer = action === "accept" ? page.queue.answerOf(page.item, editor.boxes) : bare;
  if (!answer) return say("There is no box to accept: draw one, or reject.");
  const spent = { ...answer, seconds: timer.stop() };
  if (action === "accept") page.queue.drafts.delete(page.item.image_id);
  give(spent);
  say(`${page.item.image_id}: ${wordOf(answer.action)}.`);
  const next = page.queue.nextOpen(page.item);
  show(next ?? page.item);
  if (!next) say("All images are decided or skipped. Press “Done: go on” when you are content.");
}

function undo() {
  if (lockReason(page)) return say(lockReason(page));
  const last = page.queue.newestOwn();
  if (!last) return say("There is no decision of yours to take back.");
  const answer = { image_id: last.image_id, action: "undo", boxes: [], seconds: timer.stop() };
  const { boxes, image_id } = page.queue.standing[last.image_id];
  give(answer);
  if (boxes.length) page.queue.drafts.set(image_id, boxes);
  show(last);
  say(`${last.image_id}: taken back.`);
}

function give(answer) {
  changes += 1;
  page.refused = "";
  page.queue.apply(answer);
  outbox.put(answer);
}

function arrived(answer, said) {
  changes += 1;
  page.seconds = said.progress.seconds;
  complain(page.refused);
  paintQuestion();
  if (answer.action === "undo") refresh(); // an older decision may stand again
  else paint(page);
}

function refused(answer, reason) {
  changes += 1;
  page.refused = `Not saved, ${answer.image_id}: ${reason}.`;
  if (answer.boxes.length) page.queue.drafts.set(answer.image_id, answer.boxes);
  complain(page.refused);
  paintQuestion();
  refresh();
}

function delayed(count, reason) {
  complain(`Not saved yet: ${count} (${reason}). Trying again; keep this page open.`);
}

function move(step) {
  const own = page.queue.groups.get(groupOf(page.item));
  show(own[own.indexOf(page.item) + step]);
}

function columns() {
  const tops = [...element("grid").children].map((each) => each.offsetTop);
  return Math.max(tops.filter((top) => top === tops[0]).length, 1);
}

function changeGroup(step) {
  const names = page.queue.groupNames;
  openGroup(names.at((names.indexOf(groupOf(page.item)) + step) % names.length));
}

function openGroup(name) {
  const own = page.queue.groups.get(name);
  show(own.find((each) => page.queue.stateOf(each) === "open") ?? own[0]);
}

function goOn() {
  paintQuestion();
  element("ask").returnValue = "";
  element("ask").showModal();
}

function paintQuestion() {
  const count = page.queue.items.length;
  const open = page.queue.items.filter((each) => !page.queue.isDone(each)).length;
  element("ask-text").textContent = outbox.waiting.length
    ? "Some decisions are being saved. Wait until they are."
    : open ? `${open} of ${count} images are not decided. They get no answer in this round.`
    : "All images are decided. The run goes on with them.";
  element("ask-yes").disabled = outbox.waiting.length > 0;
}

async function answered() {
  if (element("ask").returnValue !== "yes" || !page.waiting) return;
  try {
    await server.goOn(page.waiting);
    page.waiting = null;
    say("The run goes on. Thank you.");
  } catch (error) {
    complain(`The run could not be told to go on: ${error.message}.`);
  }
  paint(page);
}

function reset() {
  page.queue.drafts.delete(page.item.image_id);
  edit(proposalOf(page.item));
  paintTools(page);
}

const KEYS = {
  a: () => decide("accept"), r: () => decide("reject"), s: () => decide("skip"), u: undo,
  n: () => show(page.queue.nextOpen(page.item)), b: () => editor.add(), c: () => element("class").focus(),
  "[": () => changeGroup(-1), "]": () => changeGroup(1),
  ArrowRight: () => move(1), ArrowLeft: () => move(-1),
  ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()),
  Delete: () => editor.remove(), Backspace: () => editor.remove(), Escape: reset,
  "?": () => element("help").toggleAttribute("open"),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("select, input") || element("ask").open;
  if (!page.item || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
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
  timer.start(); // it can only be skipped
});
element("done").addEventListener("click", goOn);
element("ask").addEventListener("close", answered);
addEventListener("focus", () => page.round && refresh());
addEventListener("beforeunload", (event) => outbox?.waiting.length && event.preventDefault());
setInterval(() => page.item && (element("clock").textContent = `${timer.seconds.toFixed(1)} s`), 200);
start().catch((error) => complain(`The review cannot be shown: ${error.message}.`));
