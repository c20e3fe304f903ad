"""What the review page is told, and what becomes of the answers that it sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from boxloop import review
from boxloop.data.dataset import XYXY
from boxloop.oracle.answers import Decision, parse_answer, to_json
from boxloop.oracle.decisions import standing
from boxloop_airflow.review.runs import Round

_SHOWN = ("image_id", "image_label", "class_name", "score", "p_right", "action", "reason")


def describe_queue(round_: Round) -> dict[str, Any]:
    """Return what a round asks, in the order in which people get it."""
    asked = review.read_review(round_.run, round_.number)
    sizes = asked.images[["image_id", "width", "height"]]
    rows = asked.queue.merge(sizes, on="image_id").to_dict("records")
    return {"class_names": asked.class_names, "items": [_item(row) for row in rows]}


def describe_decisions(round_: Round) -> dict[str, Any]:
    """Return how far people are, and the decision that stands for each image."""
    decisions, _ = review.read_decisions(round_.run, round_.number)
    return {
        "progress": review.progress(round_.run, round_.number),
        "standing": {one.image_id: to_json(one) for one in standing(decisions)},
    }


def find_image(round_: Round, image_id: str) -> Mapping[str, Any] | None:
    """Return an image of the queue with its proposed box, None where it is not in the queue."""
    asked = review.read_review(round_.run, round_.number)
    images = asked.images[asked.images["image_id"] == image_id]
    proposed = asked.queue[asked.queue["image_id"] == image_id]
    if not len(images) or not len(proposed):
        return None
    facts = ("uri", "sha256", "width", "height")
    image = images.iloc[0]
    return {**{name: image[name] for name in facts}, "box": _box(proposed.iloc[0].to_dict())}


def build_decision(round_: Round, answer: Mapping[str, Any], author: str) -> Decision:
    """Return the decision that somebody sent.

    Args:
        round_: the round that asks.
        answer: image_id, action, boxes and seconds, as the page sends them.
        author: who is logged in.

    Raises:
        ValueError: if it makes no sense, as `boxloop.oracle.decisions.parse_decision` says.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said = {**answer, "author": author, "decided_at": now, "round": round_.number}
    asked = review.read_review(round_.run, round_.number)
    return parse_answer(json.dumps(said).encode(), asked.questions)


def is_recorded(round_: Round, decision: Decision) -> bool:
    """Whether the newest decision on the image is this one: its answer got lost on the way back."""
    found, _ = review.read_decisions(round_.run, round_.number)
    newest = max(
        (
            one
            for one in found
            if (one.image_id, one.author) == (decision.image_id, decision.author)
        ),
        key=lambda one: one.name,
        default=None,
    )
    return newest is not None and _said(newest) == _said(decision)


def who_else_stands(round_: Round, decision: Decision) -> str | None:
    """Return whose decision an undo would take back, if it is somebody else's."""
    found, _ = review.read_decisions(round_.run, round_.number)
    for one in standing(found):
        if one.image_id == decision.image_id and one.author != decision.author:
            return one.author
    return None


def _said(decision: Decision) -> dict[str, Any]:
    unlike = ("decided_at", "name")
    return {key: value for key, value in to_json(decision).items() if key not in unlike}


def _item(row: Mapping[Any, Any]) -> dict[str, Any]:
    shown = {name: None if pd.isna(row[name]) else row[name] for name in _SHOWN}
    return {**shown, "width": int(row["width"]), "height": int(row["height"]), "box": _box(row)}


def _box(row: Mapping[Any, Any]) -> dict[str, float] | None:
    if any(pd.isna(row[name]) for name in ("class_name", *XYXY)):
        return None
    return {edge: float(row[edge]) for edge in XYXY}
