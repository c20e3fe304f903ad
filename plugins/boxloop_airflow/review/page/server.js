// Talks to the server: to the page's own routes, and to Airflow's API for the waiting task.

const path = location.pathname.replace(/\/$/, "");
const root = path.slice(0, path.lastIndexOf("/boxloop-review/"));
const [, dag, , run] = path.slice(root.length + "/boxloop-review/".length).split("/");
const api = `${root}/api/v2/dags/${dag}/dagRuns/${run}`;

export class Refused extends Error {}

async function call(address, options = {}) {
  const answer = await fetch(address, { credentials: "same-origin", ...options });
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  const reason = typeof body.detail === "string" ? body.detail : `the server says ${answer.status}`;
  // what will be refused again is not sent again; a login that ended may come back
  const isLogin = answer.status === 401 || reason === "Invalid JWT token"; // Airflow's 403 after its key has changed
  const final = !isLogin && [400, 403, 409, 413, 415, 422].includes(answer.status);
  throw final ? new Refused(reason) : new Error(isLogin ? "log in to Airflow again" : reason);
}

function send(method, address, value, more = {}) {
  const headers = { "Content-Type": "application/json", ...more };
  return call(address, { method, headers, body: JSON.stringify(value) });
}

export const place = `${dag}/${run}`;
export const readRounds = () => call(`${path}/rounds`);
export const readQueue = (round) => call(`${path}/rounds/${round}/queue`);
export const readDecisions = (round) => call(`${path}/rounds/${round}/decisions`);
export const sendDecision = (round, answer, author) =>
  send("POST", `${path}/rounds/${round}/decisions`, answer, { "X-Boxloop-Author": encodeURIComponent(author) });

export function imageAddress(round, imageId, size) {
  return `${path}/rounds/${round}/image?${new URLSearchParams({ image_id: imageId, size })}`;
}

export async function findWaiting(mapIndex) {
  const found = await call(`${api}/hitlDetails?response_received=false&limit=100`);
  return found.hitl_details.find(({ task_instance: task }) =>
    task.task_id.endsWith("match_labels") && task.map_index === mapIndex
      && task.state === "awaiting_input");
}

export function goOn({ task_instance: task, options }) {
  const where = `${api}/taskInstances/${task.task_id}/${task.map_index}/hitlDetails`;
  return send("PATCH", where, { chosen_options: options.slice(0, 1), params_input: {} });
}
