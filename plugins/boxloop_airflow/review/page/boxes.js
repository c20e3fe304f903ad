// Boxes over a picture: shown, dragged by body, edges and corners, drawn, moved by keys.
// Boxes are in pixels of the image, 0-based, max edge exclusive.

const EDGES = ["n", "e", "s", "w", "nw", "ne", "se", "sw"];
const LEAST = 2; // pixels of the image
const SMALL = 44; // of the screen; the handles of smaller boxes would leave nothing to move them by
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const clip = (value, low, high) => Math.min(Math.max(value, low), high);
const round = (value) => Math.round(value * 10) / 10;

export class BoxEditor {
  boxes = [];
  chosen = 0;
  #layer;
  #changed;
  #size = { width: 1, height: 1 };
  #drag = null;
  #newClass = "";
  isLocked = false;

  constructor(layer, changed) {
    this.#layer = layer;
    this.#changed = changed;
    layer.addEventListener("pointerdown", (event) => this.#press(event));
    layer.addEventListener("pointermove", (event) => this.#move(event));
    layer.addEventListener("pointerup", (event) => this.#release(event));
    layer.addEventListener("pointercancel", (event) => this.#release(event));
    layer.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#placeAll()).observe(layer);
    layer.addEventListener("focusin", (event) => this.#choose(indexOf(event.target)));
  }

  show({ width, height, boxes, newClass }) {
    this.#size = { width, height };
    this.#newClass = newClass;
    this.#drag = null;
    this.boxes = boxes.map((box) => ({ ...box }));
    this.chosen = 0;
    this.#draw();
  }

  add() {
    if (this.isLocked) return;
    const { width, height } = this.#size;
    const box = { xmin: width / 4, ymin: height / 4, xmax: width * 0.75, ymax: height * 0.75 };
    this.#append(box);
    this.#layer.children[this.chosen].focus();
  }

  remove() {
    if (this.isLocked || !this.boxes.length) return;
    this.boxes.splice(this.chosen, 1);
    this.chosen = Math.max(this.chosen - 1, 0);
    this.#draw();
    this.#changed();
  }

  classify(name) {
    this.#newClass = name;
    if (this.isLocked || !this.boxes.length) return;
    this.boxes[this.chosen].class_name = name;
    this.#draw();
    this.#changed();
  }

  #append(edges) {
    this.boxes.push({ class_name: this.#newClass, ...edges });
    this.chosen = this.boxes.length - 1;
    this.#draw();
    this.#changed();
  }

  #choose(index) {
    if (index < 0 || index === this.chosen) return;
    this.chosen = index;
    this.#mark();
    this.#changed();
  }

  #point(event) {
    const area = this.#layer.getBoundingClientRect();
    const { width, height } = this.#size;
    return {
      x: clip(((event.clientX - area.left) / area.width) * width, 0, width),
      y: clip(((event.clientY - area.top) / area.height) * height, 0, height),
    };
  }

  #press(event) {
    if (!event.isPrimary) this.#drag = null; // two fingers pinch; they do not draw
    if (this.isLocked || event.button !== 0 || this.#drag || !event.isPrimary) return;
    event.preventDefault();
    const index = indexOf(event.target);
    document.activeElement?.blur();
    const edge = event.target.dataset.edge ?? (index < 0 ? "new" : "body");
    if (index >= 0) {
      this.#choose(index);
      this.#layer.children[index].focus({ preventScroll: true });
    }
    this.#drag = { edge, from: this.#point(event), was: { ...this.boxes[index] } };
    this.#layer.setPointerCapture(event.pointerId);
  }

  #move(event) {
    if (!this.#drag || !event.isPrimary) return;
    const { from, was } = this.#drag;
    const to = this.#point(event);
    if (this.#drag.edge === "new") {
      const least = (6 / this.#layer.clientWidth) * this.#size.width; // a click is no box
      if (Math.abs(to.x - from.x) < least || Math.abs(to.y - from.y) < least) return;
      this.#append({ xmin: from.x, ymin: from.y, xmax: from.x, ymax: from.y });
      this.#drag.was = { ...this.boxes[this.chosen] };
      this.#drag.edge = (to.y < from.y ? "n" : "s") + (to.x < from.x ? "w" : "e");
      return this.#move(event);
    }
    this.#set(this.chosen, this.#dragged(was, this.#drag.edge, to.x - from.x, to.y - from.y));
  }

  #release(event) {
    if (!event.isPrimary) return;
    if (this.#drag && this.#drag.edge !== "new") this.#changed();
    this.#drag = null;
  }

  #dragged(was, edge, dx, dy) {
    const { width, height } = this.#size;
    if (edge === "body") {
      const x = clip(dx, -was.xmin, width - was.xmax);
      const y = clip(dy, -was.ymin, height - was.ymax);
      return { xmin: was.xmin + x, xmax: was.xmax + x, ymin: was.ymin + y, ymax: was.ymax + y };
    }
    const xs = [was.xmin + (edge.includes("w") ? dx : 0), was.xmax + (edge.includes("e") ? dx : 0)];
    const ys = [was.ymin + (edge.includes("n") ? dy : 0), was.ymax + (edge.includes("s") ? dy : 0)];
    const [xmin, xmax] = this.#ordered(xs, width);
    const [ymin, ymax] = this.#ordered(ys, height);
    return { xmin, ymin, xmax, ymax };
  }

  #ordered(pair, limit) {
    const [low, high] = pair.map((value) => clip(value, 0, limit)).sort((a, b) => a - b);
    if (high - low >= LEAST) return [low, high];
    const start = clip(low, 0, Math.max(limit - LEAST, 0));
    return [start, Math.min(start + LEAST, limit)];
  }

  #set(index, edges) {
    for (const edge of ["xmin", "ymin", "xmax", "ymax"]) this.boxes[index][edge] = round(edges[edge]);
    this.#place(this.#layer.children[index], this.boxes[index]);
  }

  #key(event) {
    const index = indexOf(event.target);
    if (index < 0 || this.isLocked || !(event.key in STEPS) || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const [x, y] = STEPS[event.key].map((step) => step * (event.ctrlKey ? 10 : 1));
    this.#set(index, this.#dragged({ ...this.boxes[index] }, event.shiftKey ? "se" : "body", x, y));
    this.#changed();
  }

  #draw() {
    this.#layer.replaceChildren(...this.boxes.map((box) => this.#element(box)));
    this.#mark();
  }

  #element(box) {
    const element = document.createElement("div");
    element.className = "box";
    element.tabIndex = 0;
    element.setAttribute("role", "group");
    const name = document.createElement("span");
    name.textContent = box.class_name;
    element.append(name);
    for (const edge of EDGES) {
      const handle = document.createElement("i");
      handle.dataset.edge = edge;
      element.append(handle);
    }
    this.#place(element, box);
    return element;
  }

  #placeAll() {
    this.boxes.forEach((box, index) => this.#place(this.#layer.children[index], box));
  }

  #place(element, box) {
    const { width, height } = this.#size;
    element.style.left = `${(box.xmin / width) * 100}%`;
    element.style.top = `${(box.ymin / height) * 100}%`;
    element.style.width = `${((box.xmax - box.xmin) / width) * 100}%`;
    element.style.height = `${((box.ymax - box.ymin) / height) * 100}%`;
    const scale = this.#layer.clientWidth / width;
    const side = Math.min(box.xmax - box.xmin, box.ymax - box.ymin) * scale;
    element.classList.toggle("small", side < SMALL);
    element.classList.toggle("low", box.ymin / height < 0.08);
    const edges = [box.xmin, box.ymin, box.xmax, box.ymax].map(Math.round).join(", ");
    element.setAttribute("aria-label", `Box of ${box.class_name}, from and to: ${edges} pixels`);
  }

  #mark() {
    [...this.#layer.children].forEach((each, index) => each.classList.toggle("chosen", index === this.chosen));
  }
}

function indexOf(target) {
  const box = target.closest?.(".box");
  return box ? [...box.parentNode.children].indexOf(box) : -1;
}
