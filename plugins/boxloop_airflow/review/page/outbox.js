// Decisions on their way to the server: one at a time, in order, again until they have arrived.
// They lie in the browser's storage until then, so that a reload or a crash loses none.

import { Refused } from "./server.js";

const LONGEST = 15000; // milliseconds between attempts

export class Outbox {
  #key;
  #send;
  #changed;
  #refused;
  #waiting;
  #isSending = false;

  constructor(key, { send, changed, refused }) {
    this.#key = key;
    this.#send = send;
    this.#changed = changed;
    this.#refused = refused;
    this.#waiting = read(key).map((answer) => ({ ...answer, is_repeat: true }));
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
      try {
        const said = await this.#send(this.#waiting[0]);
        this.#drop("");
        this.#changed(said);
        wait = 1000;
      } catch (error) {
        if (error instanceof Refused) {
          this.#refused(this.#drop(""), error.message);
          continue;
        }
        this.trouble = error.message;
        this.#waiting[0].is_repeat = true; // perhaps only the answer was lost
        this.#keep();
        this.#changed(null);
        await new Promise((resolve) => setTimeout(resolve, wait));
        wait = Math.min(wait * 2, LONGEST);
      }
    }
    this.#isSending = false;
  }

  resume() {
    return this.#work();
  }

  #drop(trouble) {
    const [first] = this.#waiting.splice(0, 1);
    this.trouble = trouble;
    this.#keep();
    return first;
  }

  #keep() {
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#waiting));
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
