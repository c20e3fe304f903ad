"""What the review page is told, and what becomes of the answers that it sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pandas as pd

from boxloop import review
from boxloop.artifacts import Run
from boxloop.borders import is_below
from boxloop.data.dataset import XYXY
from boxloop.data.formats.annotation import Box
from boxloop.experiment import read_experiment
from boxloop.oracle.answers import Decision, Question, parse_answer, to_json
from boxloop.oracle.decisions import standing
from boxloop_airflow.pages.runs import Round

_SHOWN = ("image_id", "image_label", "class_name", "score", "p_right", "action", "reason")


def describe_queue(round_: Round) -> dict[str, Any]:
    """Return what a round asks, in the order in which people get it."""
    asked = review.read_review(round_.run, round_.number)
    questions = asked.questions.images
    rows = [row for row in asked.queue.to_dict("records") if row["image_id"] in questions]
    return {
        "digest": asked.digest,
        "class_names": asked.class_names,
        "items": [_item(row, questions[row["image_id"]]) for row in rows],
    }


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
    question = asked.questions.images.get(image_id)
    if not len(images) or question is None:
        return None
    facts = {name: images.iloc[0][name] for name in ("uri", "sha256", "width", "height")}
    if not is_below(str(facts["uri"]), _data_uri(round_.run, asked.digest)):
        return None
    return {**facts, "box": question.proposed and question.proposed.xyxy}


@lru_cache(maxsize=64)
def _data_uri(run: Run, digest: str) -> str:
    """Return where the data of a run lie; kept for a queue, whose digest is given."""
    return str(read_experiment(run.experiment).data.uri)


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


def who_else_stands(round_: Round, decision: Decision) -> str | None:
    """Return whose decision an undo would take back, if it is somebody else's."""
    found, _ = review.read_decisions(round_.run, round_.number)
    for one in standing(found):
        if one.image_id == decision.image_id and one.author != decision.author:
            return one.author
    return None


def _item(row: Mapping[Any, Any], question: Question) -> dict[str, Any]:
    shown = {name: None if pd.isna(row[name]) else row[name] for name in _SHOWN}
    return {
        **shown,
        "width": question.width,
        "height": question.height,
        "box": question.proposed and _edges(question.proposed),
        "others": [{"class_name": box.class_name, **_edges(box)} for box in question.others],
    }


def _edges(box: Box) -> dict[str, float]:
    return dict(zip(XYXY, box.xyxy, strict=True))
