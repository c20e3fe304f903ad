// All experiments, the newest first.

import { element, make, row, say, useTheme } from "./dom.js";
import { readExperiments, runAddress } from "./server.js";
import { long, moment, plural, share, signOf, wordOf } from "./words.js";

const COLUMNS = ["experiment", "state", "rounds", "mAP@0.5", "started", "took"];
const POLL = 10000; // milliseconds

async function refresh() {
  try {
    if (!document.hidden) paint(await readExperiments());
    say("trouble", "");
  } catch (error) {
    say("trouble", `Not up to date: ${error.message}.`);
  }
  setTimeout(refresh, POLL);
}

function paint({ experiments, is_all: isAll }) {
  const running = experiments.filter(({ state }) => state === "running").length;
  const none = "There is none yet. Trigger the DAG active_learning, and it appears here.";
  element("facts").textContent = experiments.length
    ? `${isAll ? "" : "the newest "}${plural(experiments.length, "experiment")}${running ? `, ${running} running` : ""}` : none;
  document.querySelector("main").hidden = !experiments.length;
  const focused = document.activeElement?.getAttribute("href");
  element("experiments").replaceChildren(
    make("thead", {}, row("th", ...COLUMNS.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...experiments.map(line)));
  if (focused) document.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function line({ dag_id: dag, run_id: run, state, start, end, rounds, done, map50 }) {
  const link = make("a", { href: runAddress(dag, run, "rounds") }, run);
  const badge = make("td", {}, make("span", { class: "badge", "data-state": state }, `${signOf(state)} ${wordOf(state)}`));
  const took = start === null ? "" : long(Math.max((end ?? Date.now() / 1000) - start, 0));
  const meter = make("progress", { max: rounds ?? 1, value: done, "aria-hidden": "true" });
  return row("td",
    make("th", { scope: "row" }, link, make("span", { class: "soft" }, dag)), badge,
    make("td", { class: "rounds" }, rounds === null ? "–" : meter, rounds === null ? "" : ` ${done} of ${rounds}`),
    share(map50), moment(start), state === "queued" ? "" : took);
}

useTheme();
refresh();
