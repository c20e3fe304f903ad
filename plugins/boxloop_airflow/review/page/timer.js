// Seconds spent on an image: not while the page is hidden, nor long after the last movement.

const IDLE = 60000; // milliseconds

export class Timer {
  #spent = 0;
  #since = null;
  #moved = 0;
  #isOn = false;

  constructor() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#pause() : this.#resume()));
    for (const kind of ["pointermove", "pointerdown", "keydown"]) {
      document.addEventListener(kind, () => this.#touch(), { capture: true, passive: true });
    }
  }

  start() {
    this.#spent = 0;
    this.#since = null;
    this.#isOn = true;
    this.#moved = performance.now();
    if (!document.hidden) this.#resume();
  }

  stop() {
    this.#pause();
    this.#isOn = false;
    const spent = this.seconds;
    this.#spent = 0;
    return spent;
  }

  get seconds() {
    const now = Math.min(performance.now(), this.#moved + IDLE);
    const running = this.#since === null ? 0 : Math.max(now - this.#since, 0);
    return Math.round(this.#spent + running) / 1000;
  }

  #touch() {
    if (this.#since !== null && performance.now() > this.#moved + IDLE) {
      this.#pause();
      this.#resume();
    }
    this.#moved = performance.now();
  }

  #pause() {
    this.#spent = this.seconds * 1000;
    this.#since = null;
  }

  #resume() {
    if (!this.#isOn || this.#since !== null) return;
    this.#since = this.#moved = performance.now();
  }
}
