"""The figures of a run, and whether its rounds belong together: pure functions over tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from boxloop.data.boxes import iou_matrix
from boxloop.data.dataset import XYXY

MIN_IOU = 0.5  # with a true box of the same class: an adopted box counts as right


@dataclass(frozen=True, kw_only=True)
class RoundFacts:
    """What a finished round left behind, as the report needs it."""

    summary: Mapping[str, Any]
    """The round's summary.json."""
    evaluation: Mapping[str, Any]
    """The round's evaluation.json."""
    adoptions: pd.DataFrame
    """What the oracle said to each candidate image."""
    timings: Mapping[str, Mapping[str, float]]
    """File stem, such as `train` or `predict-00000-of-00002`, to started and seconds."""
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
        """Seconds by task, in the order of their starts; shards count as their longest."""
        result: dict[str, float] = {}
        for stem, timing in sorted(self.timings.items(), key=lambda item: item[1]["started"]):
            task = stem.partition("-")[0]
            result[task] = max(result.get(task, 0.0), timing["seconds"])
        return result


def build_summary(
    experiment_id: str,
    model: str,
    rounds: Sequence[RoundFacts],
    *,
    truth: pd.DataFrame | None,
    planned_rounds: int,
) -> dict[str, Any]:
    """Return the figures of a run for programs: the content of report/summary.json.

    Args:
        experiment_id: last part of the run's URI.
        model: name in the zoo.
        rounds: the finished rounds, from round 1.
        truth: true boxes of pool images, or None where none are known.
        planned_rounds: how many rounds the experiment asked for.
    """
    return {
        "experiment_id": experiment_id,
        "model": model,
        "rounds": [_round_summary(facts, truth) for facts in rounds],
        "total_seconds": elapsed_seconds(rounds),
        "stopped_early": len(rounds) < planned_rounds,
    }


def _round_summary(facts: RoundFacts, truth: pd.DataFrame | None) -> dict[str, Any]:
    return {
        "round": facts.round_number,
        "training_images": facts.summary["training_images"],
        "adopted": facts.summary["adopted"],
        "adoption_precision": adoption_precision(facts.adoptions, truth),
        "map50": facts.summary["map50"],
        "ap50_per_class": dict(facts.summary["ap50_per_class"]),
        "seconds": facts.seconds,
    }


def adoption_precision(adoptions: pd.DataFrame, truth: pd.DataFrame | None) -> float | None:
    """Return the share of adopted boxes that are right, of those whose image has true boxes.

    Args:
        adoptions: one row per candidate image, with `is_adopted`.
        truth: true boxes of pool images, or None where none are known.

    Returns:
        A share in [0, 1]; None where nothing was adopted or no adopted image has true boxes.
    """
    adopted = adoptions[adoptions["is_adopted"].astype(bool)]
    known = [is_right for is_right in agreements(adopted, truth) if is_right is not None]
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
    known = truth[truth["image_id"].isin(detections["image_id"])]
    by_image = dict(iter(known.groupby("image_id")))
    rows = zip(
        detections["image_id"],
        detections["class_name"],
        detections[XYXY].to_numpy(float),
        strict=True,
    )
    return [
        _agrees(class_name, box, by_image[image_id]) if image_id in by_image else None
        for image_id, class_name, box in rows
    ]


def _agrees(class_name: str, box_xyxy: NDArray[np.float64], true_boxes: pd.DataFrame) -> bool:
    same = true_boxes.loc[true_boxes["class_name"] == class_name, XYXY]
    return bool((iou_matrix(box_xyxy[None], same.to_numpy(float)) >= MIN_IOU).any())


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
