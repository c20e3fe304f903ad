"""What people decided about a review queue, and what follows from it for the data set."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from statistics import median

import pandas as pd

from boxloop.data.dataset import BOX_COLUMNS, REFUSED_COLUMNS, REVIEWED, XYXY, build_table
from boxloop.oracle.answers import (
    ACCEPT,
    ACTIONS,
    CORRECT,
    DRAW,
    REJECT,
    SKIP,
    UNDO,
    VERIFY,
    Decision,
    Questions,
    parse_answer,
)

__all__ = [
    "ACCEPT",
    "ACTIONS",
    "CORRECT",
    "DRAW",
    "REFUSED_COLUMNS",
    "REJECT",
    "SKIP",
    "UNDO",
    "VERIFY",
    "Decision",
    "parse_decision",
    "refused_boxes",
    "reviewed_boxes",
    "standing",
]

REVIEW = "review"  # the mode of boxes that people gave
ENOUGH = 10  # answers, for their median to be believed


def parse_decision(
    data: bytes,
    *,
    queue: pd.DataFrame,
    images: pd.DataFrame,
    class_names: Collection[str],
    round_number: int,
) -> Decision:
    """Return the decision in a JSON object that nobody vouches for.

    Args:
        data: its bytes.
        queue: what was asked, with QUEUE_COLUMNS.
        images: image_id, width and height of the images in the queue.
        class_names: those of the label map.
        round_number: the round that asks.

    Raises:
        ValueError: if it cannot be read, is of another round, of an image that is not asked
            about, of a class that is unknown, or has a box that is empty or not in the image.
    """
    return parse_answer(data, Questions.of(queue, images, class_names, round_number))


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """Return the decision that counts of each image: the newest that was not taken back.

    A skip does not count against another person's answer.

    Args:
        decisions: in any order; the names of their files tell when they came. Those without a
            name come as they are given.

    Returns:
        At most one an image, sorted by image_id; skips too.
    """
    stacks: dict[str, list[Decision]] = {}
    for decision in sorted(decisions, key=lambda one: one.name):
        stack = stacks.setdefault(decision.image_id, [])
        if decision.action == UNDO:
            stack[-1:] = []
        elif not _is_passed_over(decision, stack):
            stack.append(decision)
    return [stacks[image_id][-1] for image_id in sorted(stacks) if stacks[image_id]]


def _is_passed_over(decision: Decision, stack: list[Decision]) -> bool:
    """Whether somebody skips what another person has answered: the answer stands."""
    is_answered = bool(stack) and stack[-1].action != SKIP
    return decision.action == SKIP and is_answered and stack[-1].author != decision.author


def median_seconds(standing: Iterable[Decision]) -> dict[str, float]:
    """Return what an answer took in the median, by what was asked: verify or draw.

    Imported decisions took no time that is known. Too few say nothing, and are left out.
    """
    seconds: dict[str, list[float]] = {VERIFY: [], DRAW: []}
    for decision in standing:
        if decision.seconds > 0 and decision.action != SKIP:
            seconds[decision.asked].append(decision.seconds)
    return {asked: median(taken) for asked, taken in seconds.items() if len(taken) >= ENOUGH}


def reviewed_boxes(standing: Iterable[Decision], round_number: int) -> pd.DataFrame:
    """Return what people accepted, mended or drew as boxes for the next dataset version.

    Args:
        standing: as `standing` returns them.
        round_number: the round that asked.

    Returns:
        A table with BOX_COLUMNS, in the order of the decisions.
    """
    rows: list[dict[str, object]] = [
        {
            "image_id": decision.image_id,
            **box._asdict(),
            "origin": REVIEWED,
            "round": round_number,
            "weight": 1.0,
            "author": decision.author,
            "mode": REVIEW,
            "reason": _reason(decision),
        }
        for decision in standing
        if decision.action in (ACCEPT, CORRECT)
        for box in decision.boxes
    ]
    return build_table(rows, BOX_COLUMNS)


def refused_boxes(standing: Iterable[Decision], queue: pd.DataFrame) -> pd.DataFrame:
    """Return the proposed boxes that people rejected.

    Where they were asked to draw one and did not, nothing in the image is an object.

    Args:
        standing: as `standing` returns them.
        queue: what was asked, with QUEUE_COLUMNS.

    Returns:
        A table with REFUSED_COLUMNS; nulls for class and box where the whole image was refused.
    """
    rejected = [decision for decision in standing if decision.action == REJECT]
    rows: list[dict[str, object]] = [
        {"image_id": one.image_id, "round": one.round, "author": one.author} for one in rejected
    ]
    said = build_table(rows, REFUSED_COLUMNS)[["image_id", "round", "author"]]
    shown = queue[queue["action"] == VERIFY][["image_id", "class_name", *XYXY]]
    refused = said.merge(shown, on="image_id", how="left")
    return refused[list(REFUSED_COLUMNS)].astype(REFUSED_COLUMNS)


def _reason(decision: Decision) -> str:
    if decision.action == ACCEPT:
        return "accepted"
    return "drawn" if decision.asked == DRAW else "corrected"
