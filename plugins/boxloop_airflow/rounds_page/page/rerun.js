// Asks before rounds are done anew, and says what will be done.

import { element, make, say } from "./dom.js";
import { rerunFrom } from "./server.js";
import { plural } from "./words.js";

const IDLE = ["success", "failed", "skipped", "upstream_failed", "none"];
let page;
let whenDone;
let isSending = false;

/** Let the button say what can be done. */
export function offerRerun(next, done) {
  [page, whenDone] = [next, done];
  const why = whyNot();
  element("rerun").disabled = Boolean(why);
  element("rerun").title = why;
  if (element("ask").open) paintWhat();
}

function whyNot() {
  if (!page.rounds) return "There are no rounds yet";
  if (page.is_elsewhere) return "The results of this run lie where this server does not look";
  return page.may_rerun ? "" : "This takes the right to clear tasks";
}

function tasksFrom(first) {
  const after = page.singles.filter(({ is_first: isFirst }) => !isFirst);
  return [
    ...page.rows.flatMap(({ name, cells }) => cells.slice(first - 1).map((cell, index) => ({ name, cell, where: ` of round ${first + index}` }))),
    ...after.map(({ name, cell }) => ({ name, cell, where: "" })),
  ];
}

function paintWhat() {
  const first = Number(element("ask-round").value);
  const tasks = tasksFrom(first);
  const busy = tasks.filter(({ cell }) => cell && !IDLE.includes(cell.state));
  const after = page.singles.filter(({ is_first: isFirst }) => !isFirst).map(({ name }) => name);
  const cleared = tasks.filter(({ cell }) => cell && cell.state !== "none").length;
  const which = first === page.rounds ? `round ${first}` : `rounds ${first} to ${page.rounds}`;
  const what = [
    `What ${which} left (models, boxes, figures, answers of people) is moved aside, into the folder rolled_back of the run. Nothing is deleted.`,
    first > 1 ? `Rounds before ${first} stay as they are.` : "The images and boxes that the run began with stay.",
    `${plural(cleared, "task")}, ${after.join(" and ")} among them, are cleared and run again.`,
  ];
  if (page.unfinished && page.unfinished !== first) what.push(`A rerun from round ${page.unfinished} was cut off. It is to be finished first.`);
  element("ask-what").replaceChildren(...what.map((text) => make("li", {}, text)));
  element("ask-yes").textContent = `Rerun from round ${first}`;
  element("ask-yes").disabled = isSending || busy.length > 0;
  if (isSending) return;
  if (busy.length) say("ask-trouble", `${busy[0].name}${busy[0].where} is still at work. Wait, or mark the run as failed.`);
  else say("ask-trouble", "");
}

function open() {
  const numbers = Array.from({ length: page.rounds }, (_, index) => index + 1);
  const begun = numbers.filter((number) => tasksFrom(number).some(({ cell, where }) => where === ` of round ${number}` && cell && cell.state !== "none"));
  const offered = numbers.filter((number) => !begun.length || begun.includes(number) || number === page.unfinished);
  element("ask-round").replaceChildren(...offered.map((number) => new Option(number, number)));
  element("ask-round").value = page.unfinished ?? offered.at(-1);
  paintWhat();
  element("ask").showModal();
}

async function go(event) {
  if (event.submitter?.value !== "yes") return;
  event.preventDefault();
  isSending = true;
  element("ask-yes").disabled = true;
  try {
    const { cleared } = await rerunFrom(Number(element("ask-round").value));
    element("ask").close();
    whenDone(`${plural(cleared, "task")} run again.`);
  } catch (error) {
    say("ask-trouble", `Not done: ${error.message}.`);
    element("ask-yes").disabled = false;
  } finally {
    isSending = false;
  }
}

export function listenToRerun() {
  element("rerun").addEventListener("click", open);
  element("ask-round").addEventListener("change", paintWhat);
  element("ask").querySelector("form").addEventListener("submit", go);
}
