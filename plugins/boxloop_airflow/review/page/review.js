// The review page: a grid of one class, one image in large, a decision by a key.

import { BoxEditor } from "./boxes.js";
import { listenToKeys } from "./keys.js";
import { Outbox } from "./outbox.js";
import { groupOf, Queue, startOf } from "./queue.js";
import * as server from "./server.js";
import { Timer } from "./timer.js";
import { columns, complain, element, lockReason, paint, paintQuestion, paintTools, say, wordOf } from "./view.js";

const POLL = 20000; // milliseconds
const ELSEWHERE = "The results of this run lie below an artifact root that this server was not told of: name it in BOXLOOP_REVIEW_ROOTS.";
const timer = new Timer();
const editor = new BoxEditor(element("boxes"), edited);
const page = { editor, open: show, openGroup, refused: "" };
let outbox;
let changes = 0; // decisions made or arrived

async function start() {
  const theme = localStorage.getItem("theme"); // Airflow's choice
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  page.me = await server.readRounds();
  if (!page.me.rounds.length) return say(page.me.is_elsewhere ? ELSEWHERE : "Nobody is asked anything in this run yet.");
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
  const { number } = page.round, { author } = page.me;
  const queue = page.queue = new Queue(await server.readQueue(number), author);
  const ifShown = (tell) => (...said) => queue === page.queue && tell(...said);
  outbox = new Outbox(`boxloop-review/${server.place}/${number}/${author}/${queue.digest}`, {
    send: (answer) => server.sendDecision(number, answer, author),
    arrived: ifShown(arrived),
    refused: ifShown(refused),
    delayed: ifShown(delayed),
  });
  element("class").replaceChildren(...page.queue.classNames.map((name) => new Option(name)));
  page.item = null;
  await refresh();
  document.querySelector("main").hidden = false;
  show(page.queue.firstOpen() ?? page.queue.items[0]);
  say(lockReason(page) || "");
  outbox.resume();
}

async function refresh() {
  const before = changes;
  try {
    const said = await server.readDecisions(page.round.number), { progress } = said;
    if (changes !== before) return; // older than what is on the page
    hear(said);
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

/** Take over what stands on the server; also in large, unless boxes are being changed there. */
function hear(said) {
  const standing = () => page.queue.standing[page.item?.image_id]?.name;
  const before = standing();
  page.queue.update(said, outbox.waiting);
  page.seconds = said.progress.seconds;
  if (page.item && standing() !== before && !page.queue.drafts.has(page.item.image_id)) edit(page.queue.boxesOf(page.item));
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
  if (document.activeElement === document.body) element("stage").focus({ preventScroll: true });
  if (!next) say("All images are decided or skipped. Press “Done: go on” when you are content.");
}

function undo() {
  if (lockReason(page)) return say(lockReason(page));
  const last = page.queue.newestOwn();
  if (!last) return say("There is no decision of yours to take back.");
  const answer = { image_id: last.image_id, action: "undo", boxes: [], seconds: timer.stop() };
  page.queue.restore(page.queue.standing[last.image_id]);
  give(answer);
  show(last);
  say(`${last.image_id}: taken back.`);
}

function give(answer) {
  changes += 1;
  page.refused = "";
  page.queue.apply(answer);
  const token = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
  outbox.put({ ...answer, token, queue: page.queue.digest });
}

function arrived(answer, said) {
  changes += 1;
  hear(said);
  complain(page.refused);
  paintQuestion(page, outbox.waiting.length);
  paint(page);
}

function refused(answer, reason) {
  changes += 1;
  page.refused = `Not saved, ${answer.image_id}: ${reason}.`;
  page.queue.restore(answer);
  complain(page.refused);
  paintQuestion(page, outbox.waiting.length);
  refresh();
}

function delayed(count, reason) {
  complain(`Not saved yet: ${count} (${reason}). Trying again; keep this page open.`);
}

function move(step) {
  const own = page.queue.groups.get(groupOf(page.item));
  show(own[own.indexOf(page.item) + step]);
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
  paintQuestion(page, outbox.waiting.length);
  element("ask").returnValue = "";
  element("ask").showModal();
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
  edit(startOf(page.item));
  paintTools(page);
}

const KEYS = {
  a: () => decide("accept"), r: () => decide("reject"), s: () => decide("skip"), u: undo,
  n: () => show(page.queue.nextOpen(page.item)), b: () => editor.add(), c: () => element("class").focus(),
  "[": () => changeGroup(-1), "]": () => changeGroup(1),
  ArrowRight: () => move(1), ArrowLeft: () => move(-1),
  ArrowDown: () => move(columns()), ArrowUp: () => move(-columns()),
  Delete: () => editor.remove(), Backspace: () => editor.remove(),
  "?": () => element("help").toggleAttribute("open"),
};

listenToKeys(KEYS, () => page.item && !element("ask").open);
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
