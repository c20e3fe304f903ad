// The images of a round and what has been decided about each: what stands on the server, and over
// it what is still on its way.

const NO_CLASS = "no class";
const EDGES = ["xmin", "ymin", "xmax", "ymax"];

export class Queue {
  #given = 0;

  constructor({ items, class_names }, author) {
    this.items = items;
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

  update(standing, unsent) {
    this.standing = { ...standing };
    for (const answer of unsent) this.apply(answer);
  }

  apply(answer) {
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
    const decision = this.standing[item.image_id];
    const decided = decision?.action === "correct" ? decision.boxes.map(plain) : null;
    return this.drafts.get(item.image_id) ?? decided ?? proposalOf(item);
  }

  keepDraft(item, boxes) {
    if (this.isChanged(item, boxes)) this.drafts.set(item.image_id, boxes.map(plain));
    else this.drafts.delete(item.image_id);
  }

  /** What accepting these boxes means; null where there is nothing to accept. */
  answerOf(item, boxes) {
    const image_id = item.image_id;
    if (!boxes.length) return null;
    const isProposal = isSame(boxes, proposalOf(item));
    return { image_id, action: isProposal ? "accept" : "correct", boxes: boxes.map(plain) };
  }

  isChanged(item, boxes) {
    return !isSame(boxes, proposalOf(item));
  }

  /** The image of this person's newest decision that stands. */
  newestOwn() {
    const own = Object.values(this.standing).filter(({ author }) => author === this.author);
    const newest = own.reduce((best, each) => (best && best.name > each.name ? best : each), null);
    return this.items.find((item) => item.image_id === newest?.image_id);
  }

  /** The first image that waits, class by class. */
  firstOpen() {
    const order = this.groupNames.flatMap((name) => this.groups.get(name));
    return order.find((each) => this.stateOf(each) === "open");
  }

  /** The next image that waits: in this class after this one, else from its start, else further. */
  nextOpen(item) {
    const own = this.groups.get(groupOf(item));
    const at = own.indexOf(item);
    const others = this.groupNames.filter((name) => name !== groupOf(item));
    const order = [...own.slice(at + 1), ...own.slice(0, at), ...others.flatMap((name) => this.groups.get(name))];
    return order.find((each) => this.stateOf(each) === "open");
  }
}

export function groupOf(item) {
  return item.class_name ?? item.image_label ?? NO_CLASS;
}

export function proposalOf(item) {
  return item.box ? [{ class_name: item.class_name, ...item.box }] : [];
}

function plain(box) {
  return { class_name: box.class_name, ...Object.fromEntries(EDGES.map((edge) => [edge, box[edge]])) };
}

function isSame(some, others) {
  return some.length === others.length && some.every((box, index) =>
    box.class_name === others[index].class_name
      && EDGES.every((edge) => box[edge] === others[index][edge]));
}
