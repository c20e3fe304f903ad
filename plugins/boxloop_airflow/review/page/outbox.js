// Decisions on their way to the server: one at a time, in order, again until they have arrived.
// They lie in the browser's storage until then, so that a reload or a crash loses none.

import { Refused } from "./server.js";

const LONGEST = 15000; // milliseconds between attempts

export class Outbox {
  #key;
  #send;
  #tell;
  #waiting;
  #isSending = false;

  constructor(key, { send, ...tell }) {
    this.#key = key;
    this.#send = send;
    this.#tell = tell; // arrived(answer, said), refused(answer, reason), delayed(count, reason)
    this.#waiting = read(key);
    this.trouble = "";
    addEventListener("online", () => this.#work());
  }

  get waiting() {
    return this.#waiting;
  }

  put(answer) {
    this.#waiting.push(answer);
    this.#keep();
    return this.#work();
  }

  async #work() {
    if (this.#isSending) return;
    this.#isSending = true;
    for (let wait = 1000; this.#waiting.length; ) {
      const [first] = this.#waiting;
      try {
        const said = await this.#send(first);
        this.#drop();
        this.#tell.arrived(first, said);
        wait = 1000;
      } catch (error) {
        if (error instanceof Refused) {
          this.#drop();
          this.#tell.refused(first, error.message);
          continue;
        }
        this.trouble = error.message;
        this.#keep();
        this.#tell.delayed(this.#waiting.length, error.message);
        await new Promise((resolve) => setTimeout(resolve, wait));
        wait = Math.min(wait * 2, LONGEST);
      }
    }
    this.#isSending = false;
  }

  resume() {
    return this.#work();
  }

  #drop() {
    const { token } = this.#waiting.shift();
    this.trouble = "";
    this.#keep(token);
  }

  /** Keep what waits here, beside what waits in another tab; what is sent twice counts once. */
  #keep(gone) {
    const own = new Set([gone, ...this.#waiting.map(({ token }) => token)]);
    const others = read(this.#key).filter(({ token }) => !own.has(token));
    try {
      localStorage.setItem(this.#key, JSON.stringify([...others, ...this.#waiting]));
    } catch {
      // a browser that keeps nothing: the page warns before it is left
    }
  }
}

function read(key) {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}
