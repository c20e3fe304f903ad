"""The figures of a run, and whether its rounds belong together: pure functions over tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from boxloop.data.dataset import ADOPTED, is_in
from boxloop.data.pairs import overlapping_pairs
from boxloop.oracle.growth import verdicts
from boxloop.spans import busy_seconds

MIN_IOU = 0.5  # with a true box of the same class: an adopted box counts as right
LAST_ROUNDS = 3  # that say what a further one would have cost


@dataclass(frozen=True, kw_only=True)
class RoundFacts:
    """What a finished round left behind, as the report needs it."""

    summary: Mapping[str, Any]
    """The round's summary.json."""
    evaluation: Mapping[str, Any]
    """The round's evaluation.json."""
    adoptions: pd.DataFrame
    """What the oracle said to each pool image in this round."""
    timings: Mapping[str, Mapping[str, float]]
    """File stem, such as `train` or `predict-00001-of-00002`, to started and seconds."""
    training_boxes: Mapping[str, int]
    """Class to the number of boxes that the round trained on."""
    losses: Sequence[tuple[float, float]] = ()
    """Steps of the training and its loss there; empty where it is not known."""
    evaluated_images: pd.DataFrame | None = None
    """What was found in each test image: image_id, truths, found, wrong, is_right."""
    evaluated_detections: pd.DataFrame | None = None
    """Detections in the test images."""

    @property
    def round_number(self) -> int:
        """Number of the round, from 1."""
        return int(self.summary["round"])

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by task, in the order of their starts: while it or a worker of it ran."""
        spans: dict[str, list[tuple[float, float]]] = {}
        for stem, timing in sorted(self.timings.items(), key=lambda item: item[1]["started"]):
            span = timing["started"], timing["seconds"]
            spans.setdefault(stem.partition("-")[0], []).append(span)
        return {task: busy_seconds(found) for task, found in spans.items()}


def build_summary(
    experiment_id: str,
    model: str,
    rounds: Sequence[RoundFacts],
    *,
    truth: pd.DataFrame | None,
    planned_rounds: int,
    stop: str | None = None,
) -> dict[str, Any]:
    """Return the figures of a run for programs: the content of report/summary.json.

    Args:
        experiment_id: last part of the run's URI.
        model: name in the zoo.
        rounds: the finished rounds, from round 1.
        truth: true boxes of pool images, or None where none are known.
        planned_rounds: how many rounds the experiment asked for.
        stop: why it ended before that; None where it did not, or is not over.
    """
    return {
        "experiment_id": experiment_id,
        "model": model,
        "rounds": [_round_summary(facts, truth) for facts in rounds],
        "total_seconds": elapsed_seconds(rounds),
        "stopped_early": len(rounds) < planned_rounds,
        "stop": stop,
        "rest": rest(rounds, planned_rounds),
    }


def rest(rounds: Sequence[RoundFacts], planned_rounds: int) -> dict[str, Any]:
    """Return how many rounds did not run, and an estimate of what they would have cost.

    Returns:
        `rounds`: their number; `seconds`: of their tasks, if each took as long as the last rounds
        did in the mean; `estimated_from`: the number of those. Nobody's time for a review counts.
    """
    last = rounds[-LAST_ROUNDS:]
    left = max(0, planned_rounds - len(rounds))
    mean = sum(sum(facts.seconds.values()) for facts in last) / len(last)
    return {"rounds": left, "seconds": round(left * mean, 3), "estimated_from": len(last)}


def _round_summary(facts: RoundFacts, truth: pd.DataFrame | None) -> dict[str, Any]:
    summary = facts.summary
    return {
        "round": facts.round_number,
        "training_images": summary["training_images"],
        "adopted": summary["adopted"],
        "withdrawn": summary.get("withdrawn", 0),
        "reviewed": summary.get("reviewed", 0),
        "adoption_precision": adoption_precision(facts.adoptions, truth),
        "map50": summary["map50"],
        "ap50_per_class": dict(summary["ap50_per_class"]),
        "growth": summary.get("growth", []),
        "class_mix": summary.get("class_mix"),
        "seconds": facts.seconds,
    }


def adopted_now(adoptions: pd.DataFrame) -> pd.DataFrame:
    """Return the boxes that a round adopted; those that stand since an earlier one are left out."""
    return adoptions[verdicts(adoptions) == ADOPTED]


def adoption_precision(adoptions: pd.DataFrame, truth: pd.DataFrame | None) -> float | None:
    """Return the share of adopted boxes that are right, of those whose image has true boxes.

    Args:
        adoptions: what the oracle said in a round.
        truth: true boxes of pool images, or None where none are known.

    Returns:
        A share in [0, 1]; None where nothing was adopted or no adopted image has true boxes.
    """
    known = [right for right in agreements(adopted_now(adoptions), truth) if right is not None]
    return sum(known) / len(known) if known else None


def agreements(detections: pd.DataFrame, truth: pd.DataFrame | None) -> list[bool | None]:
    """Return, for every detection, whether a true box of its class lies under it.

    Args:
        detections: image_id, class_name and the box, in pixels.
        truth: the same columns for true boxes, or None where none are known.

    Returns:
        One value per row: IoU of 0.5 or more, or None where the image has no true boxes.
    """
    if truth is None or detections.empty:
        return [None] * len(detections)
    pairs = overlapping_pairs(detections, truth, min_iou=MIN_IOU)
    names, true_names = (table["class_name"].to_numpy(object) for table in (detections, truth))
    is_right = np.zeros(len(detections), bool)
    is_right[pairs.first[names[pairs.first] == true_names[pairs.second]]] = True
    is_known = is_in(detections["image_id"], truth["image_id"])
    return [bool(right) if known else None for right, known in zip(is_right, is_known, strict=True)]


def check_chain(summaries: Sequence[Mapping[str, Any]], digests: Sequence[str]) -> None:
    """Check that every round was built on the round before as it is now.

    Args:
        summaries: the summary.json of every finished round, from round 1.
        digests: sha256 of those files, in the same order.

    Raises:
        ValueError: if a round was built on an older version of the round before it.
    """
    for summary, digest in zip(summaries[1:], digests, strict=False):
        if summary["parent_digest"] != digest:
            raise ValueError(_stale_message(summary["round"], summaries[-1]["round"]))


def _stale_message(first: int, last: int) -> str:
    built_on = f"built on an older round {first - 1}; clear"
    if first == last:
        return f"round {first} was {built_on} it and run again"
    return f"rounds {first}-{last} were {built_on} them and run again"


def elapsed_seconds(rounds: Sequence[RoundFacts]) -> float:
    """Return the seconds from the earliest start to the latest end; 0 without timings."""
    timings = [timing for facts in rounds for timing in facts.timings.values()]
    start = min((timing["started"] for timing in timings), default=math.nan)
    end = max((timing["started"] + timing["seconds"] for timing in timings), default=math.nan)
    return end - start if timings else 0.0
