"""One answer of a person to one question of a review queue, read from bytes or written to them.

    {"image_id": "a/b.jpg", "action": "correct", "round": 3, "author": "anna", "seconds": 1.7,
     "decided_at": "2026-11-23T01:02:03.456Z",
     "boxes": [{"class_name": "ace", "xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}]}

- accept: the proposed box is right; `boxes` is that box.
- correct: `boxes` are all the boxes in the image, as the person drew them.
- reject: the proposed box is wrong; other boxes that stand in the image are not touched.
- skip: not now; nothing follows.
- undo: takes back the newest decision on the image that still stands.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from boxloop.data.dataset import XYXY
from boxloop.data.formats.annotation import Box
from boxloop.data.formats.untrusted import json_number, json_shown, json_text, parse_json

ACCEPT, REJECT, CORRECT, SKIP, UNDO = ACTIONS = ("accept", "reject", "correct", "skip", "undo")
VERIFY, DRAW = "verify", "draw"  # what people are asked to do with an image
MAX_BYTES = 2**20  # of a decision; 8,000 boxes need as much
_LONGEST = 200  # characters of an author
_A_DAY = 86_400  # seconds
_SAME = 0.01  # pixels; a page may round


@dataclass(frozen=True)
class Decision:
    """What a person said of an image."""

    image_id: str
    action: str
    boxes: tuple[Box, ...]
    """accept: the proposed box; correct: all boxes in the image; else none."""
    seconds: float
    """What it took the person."""
    author: str
    decided_at: str
    """ISO 8601, with its time zone."""
    round: int
    asked: str = VERIFY
    """What the person was asked to do: verify a box, or draw one."""
    name: str = ""
    """Of its file: of two decisions, the one with the lesser name came first."""


@dataclass(frozen=True)
class Question:
    """What is asked about an image."""

    action: str
    """verify or draw."""
    proposed: Box | None
    """The box to verify; None where one is to be drawn."""
    width: int
    height: int
    others: tuple[Box, ...] = ()
    """Further boxes that stand in the image: `accept` and `reject` leave them as they are."""


@dataclass(frozen=True)
class Questions:
    """All that a round asks, and what an answer may be."""

    round_number: int
    class_names: frozenset[str]
    images: Mapping[str, Question]
    """By image_id."""

    @classmethod
    def of(
        cls,
        queue: pd.DataFrame,
        images: pd.DataFrame,
        class_names: Collection[str],
        round_number: int,
        standing: Mapping[str, Collection[Box]] | None = None,
    ) -> Questions:
        """Return the questions of a queue; an image that vanished from `images` is not asked.

        `standing` has the boxes that stand in an image; by default there are none.
        """
        sizes = images[["image_id", "width", "height"]].drop_duplicates("image_id")
        asked = queue.merge(sizes, on="image_id").astype(object)
        columns = ["image_id", "action", "width", "height", "class_name", *XYXY]
        found: dict[str, Question] = {}
        for image_id, action, width, height, *edges in asked[columns].itertuples(index=False):
            box = _proposed(edges)
            others = tuple(one for one in (standing or {}).get(image_id, ()) if one != box)
            shown = None if action == DRAW else box
            found[image_id] = Question(action, shown, int(width), int(height), others)
        return cls(round_number, frozenset(class_names), found)


def parse_answer(data: bytes, questions: Questions) -> Decision:
    """Return the decision in a JSON object, as `parse_decision` does, for many in turn."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"decision: is larger than {MAX_BYTES:,} bytes; draw fewer boxes")
    value = parse_json(data, "decision")
    if not isinstance(value, dict):
        raise ValueError("decision: is no JSON object; it begins with '{'")
    if value.get("round") != questions.round_number or isinstance(value.get("round"), bool):
        found = json_shown(value.get("round"))
        raise ValueError(f"round is {found}; this review is of round {questions.round_number}")
    image_id, action = _text(value, "image_id"), _text(value, "action")
    if (question := questions.images.get(image_id)) is None:
        raise ValueError(f"image_id is {image_id!r:.200}; it is not in the queue of this round")
    if action not in ACTIONS:
        raise ValueError(f"action is {action!r:.60}; it must be one of {', '.join(ACTIONS)}")
    boxes = _boxes(value.get("boxes", []), questions.class_names)
    return Decision(
        image_id=image_id,
        action=action,
        boxes=_checked(action, boxes, question),
        seconds=_seconds(value.get("seconds")),
        author=_author(_text(value, "author")),
        decided_at=_time(_text(value, "decided_at")),
        round=questions.round_number,
        asked=question.action,
    )


def build_answer(decision: Decision) -> bytes:
    """Return a decision as `parse_answer` reads it."""
    value = to_json(decision)
    del value["asked"], value["name"]
    return (json.dumps(value) + "\n").encode()


def to_json(decision: Decision) -> dict[str, Any]:
    """Return a decision with all that is known of it, as JSON takes it."""
    boxes = [
        {"class_name": box.class_name, **dict(zip(XYXY, box.xyxy, strict=True))}
        for box in decision.boxes
    ]
    return {**dataclasses.asdict(decision), "boxes": boxes}


def from_json(value: Mapping[str, Any]) -> Decision:
    """Return the decision that `to_json` was given."""
    return Decision(**{**value, "boxes": tuple(Box(**box) for box in value["boxes"])})


def _proposed(box: list[Any]) -> Box | None:
    if any(value is None or pd.isna(value) for value in box):
        return None
    name, xmin, ymin, xmax, ymax = box
    return Box(str(name), float(xmin), float(ymin), float(xmax), float(ymax))


def _text(value: Mapping[str, object], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str) or not json_text(text):
        raise ValueError(f"{key} is {json_shown(text)}; it must be a text")
    return text


def _author(text: str) -> str:
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError(f"author is {text!r:.60}; it must be a name that can be printed")
    return text


def _seconds(value: object) -> float:
    number = json_number(value)
    if number is None or not 0 <= number <= _A_DAY:
        raise ValueError(f"seconds is {json_shown(value)}; it must be in [0, {_A_DAY}]")
    return float(number)


def _time(text: str) -> str:
    try:
        has_zone = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        example = "2026-11-23T01:02:03.456Z"
        raise ValueError(f"decided_at is {text!r:.60}; it must be a time such as {example}")
    return text


def _boxes(value: object, class_names: Collection[str]) -> tuple[Box, ...]:
    if not isinstance(value, list):
        raise ValueError(f"boxes is {json_shown(value)}; it must be a list")
    return tuple(_box(box, number, class_names) for number, box in enumerate(value, start=1))


def _box(value: object, number: int, class_names: Collection[str]) -> Box:
    if not isinstance(value, dict):
        raise ValueError(f"box {number} is {json_shown(value)}; it must be an object")
    name = value.get("class_name")
    if not isinstance(name, str) or name not in class_names:
        raise ValueError(f"box {number}: class {json_shown(name)} is unknown to the label map")
    edges = []
    for edge in XYXY:
        found = json_number(value.get(edge))
        if found is None:
            raise ValueError(f"box {number}: {edge} is {json_shown(value.get(edge))}, no number")
        edges.append(float(found))
    xmin, ymin, xmax, ymax = edges
    return Box(name, xmin, ymin, xmax, ymax)


def _checked(action: str, boxes: tuple[Box, ...], question: Question) -> tuple[Box, ...]:
    """Return the boxes of a decision; those of accept as they were proposed, to the last digit."""
    if action == ACCEPT:
        return (_accepted(boxes, question.proposed),)
    if action == CORRECT and not boxes:
        raise ValueError("a correction needs at least one box; to leave the image bare, reject it")
    if action != CORRECT and boxes:
        raise ValueError(f"action {action} takes no boxes, got {len(boxes)}")
    for number, box in enumerate(boxes, start=1):
        _check_place(box, f"box {number}", question)
    return boxes


def _accepted(boxes: tuple[Box, ...], proposed: Box | None) -> Box:
    if proposed is None:
        raise ValueError("nothing was proposed for this image: draw a box, or reject it")
    is_same = len(boxes) == 1 and boxes[0].class_name == proposed.class_name
    if not is_same or any(
        abs(ours - theirs) > _SAME
        for ours, theirs in zip(proposed.xyxy, boxes[0].xyxy, strict=True)
    ):
        raise ValueError("accepted is another box than the proposed one: send it as a correction")
    return proposed


def _check_place(box: Box, where: str, question: Question) -> None:
    if box.xmin >= box.xmax or box.ymin >= box.ymax:
        raise ValueError(f"{where} is empty: {box.xyxy}")
    is_low = box.xmin < 0 or box.ymin < 0
    if is_low or box.xmax > question.width or box.ymax > question.height:
        size = f"{question.width} x {question.height}"
        raise ValueError(f"{where} leaves its image of {size} pixels: {box.xyxy}")
