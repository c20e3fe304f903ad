// The page of a run: asks for its state, and paints what has changed.

import { element, make, say, show, useTheme } from "./dom.js";
import { load, offerRounds } from "./examples.js";
import { paintFigures } from "./figures.js";
import { paintMatrix, paintMeans, showTimes, tick } from "./matrix.js";
import { listenToRerun, offerRerun } from "./rerun.js";
import { readState, reportAddress, reviewAddress } from "./server.js";
import { paintTimes } from "./times.js";
import { long, plural, share, wordOf } from "./words.js";

const POLL = 3000; // milliseconds
const ELSEWHERE = "The results of this run lie below an artifact root that this server was not told of, so there are no figures: name it in BOXLOOP_REVIEW_ROOTS.";
const NO_ROUNDS = "This run has no rounds: its DAG is not one of Boxloop's.";
let state = null;
let figures = null;
let stamp = "";
let ahead = 0; // seconds of the server's clock before this one's
let timer = null;
let isAsking = false;

const isRunning = () => !state || ["queued", "running"].includes(state.run.state);
const now = () => Date.now() / 1000 + ahead;

async function refresh() {
  clearTimeout(timer);
  if (isAsking) return;
  isAsking = true;
  try {
    const next = await readState(stamp);
    if (next) paint(next);
    say("trouble", "");
  } catch (error) {
    say("trouble", `Not up to date: ${error.message}.`);
  }
  isAsking = false;
  if (isRunning() && !document.hidden) timer = setTimeout(refresh, POLL);
}

function paint(next) {
  state = next;
  ahead = next.now - Date.now() / 1000;
  if (next.figures) [figures, stamp] = [next.figures, next.stamp];
  if (!next.stamp && !next.unreadable) [figures, stamp] = [null, ""];
  if (!next.is_experiment) say("says", NO_ROUNDS);
  else if (next.is_elsewhere) say("says", ELSEWHERE);
  say("unreadable", next.unreadable && `Some results cannot be shown: ${next.unreadable}`);
  show("run-state", true);
  element("run-state").textContent = next.run.state;
  element("run-state").dataset.state = next.run.state;
  paintFacts();
  paintLinks(next);
  paintProgress(next.progress);
  if (!next.is_experiment) return;
  document.querySelector("main").hidden = false;
  paintMatrix(next);
  paintTimes(next.times);
  if (next.figures) paintFigures(next.figures);
  paintMeans(figures?.rounds ?? []);
  paintSkipped();
  offerRounds((figures?.rounds ?? []).map(({ number }) => number), stamp);
  offerRerun(next, (text) => { say("says", text); refresh(); });
}

function paintFacts() {
  const { run, rounds, rows } = state;
  const merges = rows.find(({ name }) => name === "merge")?.cells ?? [];
  const done = merges.filter((cell) => cell?.state === "success").length;
  const last = figures?.rounds.at(-1);
  const parts = [];
  if (rounds) parts.push(`${done} of ${plural(rounds, "round")} done`);
  else if (state.is_experiment) parts.push("the rounds are being planned");
  if (last) parts.push(`mAP@0.5 ${share(last.map50)}${last.interval ? ` (${share(last.interval[0])} to ${share(last.interval[1])})` : ""}`);
  if (run.start) parts.push(long(Math.max((run.end ?? now()) - run.start, 0)));
  element("facts").textContent = parts.join(" · ");
}

function paintLinks({ has_report: hasReport, has_review: hasReview, tensorboard }) {
  element("report").href = reportAddress;
  element("review").href = reviewAddress;
  element("tensorboard").href = tensorboard;
  show("report", hasReport);
  show("review", hasReview);
  show("tensorboard", Boolean(tensorboard));
}

function paintProgress(told) {
  const keep = element("progress");
  keep.hidden = !told.length;
  keep.replaceChildren(...told.map(({ name, round, step, steps, loss, rate, left }) => {
    const parts = [step !== null && steps !== null ? `${name === "train" ? "step" : "image"} ${step} of ${steps}` : ""];
    if (loss !== null) parts.push(`loss ${loss}`);
    if (rate) parts.push(`${rate} images/s`);
    if (left !== null) parts.push(left < 1 ? "almost done" : `about ${long(left)} left`);
    return make("div", {}, make("b", {}, `${name}, round ${round}`), make("progress", { max: steps ?? 1, value: step ?? 0, "aria-label": `${name}, round ${round}` }), make("span", {}, parts.filter(Boolean).join(" · ")));
  }));
}

function paintSkipped() {
  const gates = state.rows.find(({ name }) => name === "gate")?.cells ?? [];
  const skipped = gates.flatMap((cell, index) => (cell?.state === "skipped" ? [index + 1] : []));
  if (!skipped.length) return say("skipped", "");
  const which = skipped.length > 1 ? `Rounds ${skipped[0]} to ${skipped.at(-1)} were` : `Round ${skipped[0]} was`;
  say("skipped", `${which} skipped${figures?.stop ? `: ${figures.stop}` : ""}.`);
}

function start() {
  useTheme();
  listenToRerun();
  element("shows").addEventListener("change", (event) => showTimes(event.target.value, now()));
  element("round").addEventListener("change", load);
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  setInterval(() => {
    if (!state?.is_experiment || document.hidden || !isRunning()) return;
    tick(now());
    paintFacts();
  }, 1000);
  refresh();
}

start();
