// The images of a round and what has been decided about each: what stands on the server, and over
// it what is still on its way.

const NO_CLASS = "no class";
const EDGES = ["xmin", "ymin", "xmax", "ymax"];

export class Queue {
  #given = 0;

  constructor({ items, class_names, digest }, author) {
    this.items = items;
    this.digest = digest;
    this.authors = [author];
    this.classNames = class_names;
    this.author = author;
    this.standing = {};
    this.drafts = new Map();
    this.groups = Map.groupBy
      ? Map.groupBy(items, groupOf)
      : items.reduce((map, item) => map.set(groupOf(item), [...(map.get(groupOf(item)) ?? []), item]), new Map());
  }

  /** Class names of the grid, in the order in which their first images come. */
  get groupNames() {
    return [...this.groups.keys()];
  }

  update({ standing, progress }, unsent) {
    this.standing = { ...standing };
    this.authors = [...new Set([...Object.keys(progress.by_author), this.author])].sort();
    for (const answer of unsent) this.apply(answer);
  }

  apply(answer) {
    const other = this.standing[answer.image_id];
    const isOthers = other && other.author !== this.author && other.action !== "skip";
    if (answer.action === "skip" && isOthers) return; // their answer stands
    if (answer.action === "undo") delete this.standing[answer.image_id];
    else this.standing[answer.image_id] = { ...answer, author: this.author, name: `~${String(this.#given++).padStart(9, "0")}` };
  }

  stateOf(item) {
    return this.standing[item.image_id]?.action ?? "open";
  }

  isDone(item) {
    return !["open", "skip"].includes(this.stateOf(item));
  }

  /** The boxes to start from: as the person left them, as decided, or as proposed. */
  boxesOf(item) {
    return this.drafts.get(item.image_id) ?? this.#settled(item);
  }

  #settled(item) {
    const decision = this.standing[item.image_id];
    return decision?.action === "correct" ? decision.boxes.map(plain) : startOf(item);
  }

  keepDraft(item, boxes) {
    if (isSame(boxes, this.#settled(item))) this.drafts.delete(item.image_id);
    else this.drafts.set(item.image_id, boxes.map(plain));
  }

  /** Make what was taken back or refused the boxes to start from; others need no draft. */
  restore({ image_id, action, boxes }) {
    if (action === "correct" && !this.drafts.has(image_id)) this.drafts.set(image_id, boxes.map(plain));
  }

  /** What accepting these boxes means; null where there is nothing to accept. */
  answerOf(item, boxes) {
    const image_id = item.image_id;
    if (!boxes.length) return null;
    if (item.box && !this.isChanged(item, boxes)) {
      return { image_id, action: "accept", boxes: [plain(boxes[0])] }; // the others stand anyway
    }
    return { image_id, action: "correct", boxes: boxes.map(plain) };
  }

  isChanged(item, boxes) {
    return !isSame(boxes, startOf(item));
  }

  /** The image of this person's newest decision that stands. */
  newestOwn() {
    const own = Object.values(this.standing).filter(({ author }) => author === this.author);
    const newest = own.reduce((best, each) => (best && best.name > each.name ? best : each), null);
    return this.items.find((item) => item.image_id === newest?.image_id);
  }

  /** The first image that waits, class by class. */
  firstOpen() {
    return this.#firstOpen(this.groupNames.flatMap((name) => this.groups.get(name)));
  }

  /** Several people take turns with the images, so that no two do the same; then what is left. */
  #firstOpen(order) {
    const open = order.filter((each) => this.stateOf(each) === "open");
    const own = this.authors.indexOf(this.author);
    return open.find((each) => this.items.indexOf(each) % this.authors.length === own) ?? open[0];
  }

  /** The next image that waits: in this class after this one, else from its start, else further. */
  nextOpen(item) {
    const own = this.groups.get(groupOf(item));
    const at = own.indexOf(item);
    const others = this.groupNames.filter((name) => name !== groupOf(item));
    const order = [...own.slice(at + 1), ...own.slice(0, at), ...others.flatMap((name) => this.groups.get(name))];
    return this.#firstOpen(order);
  }
}

export function groupOf(item) {
  return item.class_name ?? item.image_label ?? NO_CLASS;
}

/** The proposed box first, if there is one, then the others that stand in the image. */
export function startOf(item) {
  return [...(item.box ? [{ class_name: item.class_name, ...item.box }] : []), ...item.others];
}

function plain(box) {
  return { class_name: box.class_name, ...Object.fromEntries(EDGES.map((edge) => [edge, box[edge]])) };
}

function isSame(some, others) {
  return some.length === others.length && some.every((box, index) =>
    box.class_name === others[index].class_name
      && EDGES.every((edge) => box[edge] === others[index][edge]));
}
