// How states, times and figures are said.

const STATES = {
  success: ["✓", "success"], running: ["▶", "running"], failed: ["✕", "failed"],
  upstream_failed: ["⊘", "upstream failed"], skipped: ["–", "skipped"], queued: ["…", "queued"],
  scheduled: ["…", "scheduled"], deferred: ["‖", "waiting"], awaiting_input: ["?", "waiting for people"],
  up_for_retry: ["↻", "will be tried again"], up_for_reschedule: ["‖", "waiting"],
  restarting: ["↻", "restarting"], none: ["·", "not yet"],
};

export const signOf = (state) => (STATES[state] ?? ["·", state])[0];
export const wordOf = (state) => (STATES[state] ?? ["·", state])[1];

/** Seconds for a narrow cell: `41 s`, `7:11`, `1 h 02`. */
export function short(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(seconds < 1 ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))}`;
}

/** Seconds as people say them: `4.2 s`, `3 min 05 s`, `21 h 10 min`. */
export function long(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

const two = (number) => String(number).padStart(2, "0");

export const share = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
export const percent = (part, whole) => (whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–");
export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

export function moment(seconds) {
  return seconds === null ? "" : new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
