// Talks to the server, and leads to Airflow's own pages.

const PREFIX = "/boxloop-rounds/";
const here = location.pathname.replace(/\/$/, "");
const root = here.slice(0, here.lastIndexOf(PREFIX)); // Airflow may live below a path
let lastTag = null;

async function call(address, options = {}) {
  const answer = await fetch(address, { credentials: "same-origin", ...options });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401 || body.detail === "Invalid JWT token") throw new Error("log in to Airflow again");
  throw new Error(typeof body.detail === "string" ? body.detail : `the server says ${answer.status}`);
}

/** What the run is like; null where nothing has changed since the last time. */
export async function readState(known) {
  const answer = await call(`${here}/state?${new URLSearchParams({ known })}`);
  const tag = answer.headers.get("etag");
  const now = Date.parse(answer.headers.get("date")) / 1000;
  if (tag && tag === lastTag) return null;
  lastTag = tag;
  return { ...(await answer.json()), now };
}

export const readExamples = async (round) => (await call(`${here}/rounds/${round}/examples`)).json();
export const readExperiments = async () => (await call(`${here}/list`)).json();

export async function rerunFrom(round) {
  const headers = { "Content-Type": "application/json" };
  lastTag = null;
  return (await call(`${here}/rerun`, { method: "POST", headers, body: JSON.stringify({ from_round: round }) })).json();
}

export const reportAddress = `${here}/report`;

export function runAddress(dag, run, tab) {
  return `${root}/dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}/plugin/${tab}`;
}

const [, dag, , run] = here.slice(root.length + PREFIX.length).split("/"); // encoded
export const reviewAddress = `${root}/dags/${dag}/runs/${run}/plugin/review`;

export function logAddress(task, index) {
  const address = `${root}/dags/${dag}/runs/${run}/tasks/${encodeURIComponent(task)}`;
  return index < 0 ? address : `${address}/mapped/${index}`;
}

/** Follow links in Airflow's window: the frame that it puts this page into may not do so itself. */
function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || parent === self || event.defaultPrevented || (event.type === "auxclick" && event.button !== 1)) return;
  event.preventDefault();
  const outer = parent.document.createElement("a");
  const isNew = link.target === "_blank" || event.ctrlKey || event.metaKey || event.shiftKey || event.button === 1;
  Object.assign(outer, { href: link.href, target: isNew ? "_blank" : "", rel: "noopener" });
  parent.document.body.append(outer);
  outer.click();
  outer.remove();
}

addEventListener("click", follow);
addEventListener("auxclick", follow);
