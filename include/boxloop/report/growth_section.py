"""How the training set grew class by class, and which of its boxes are worth a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from boxloop.data.dataset import ADOPTED, DOUBTFUL, XYXY, Dataset, is_in
from boxloop.oracle.label_quality import LOW_SCORE, label_quality, worst
from boxloop.report.pictures import Outline, Outlines, Shower, Shown
from boxloop.report.summary import RoundFacts

LOOK_AT = 12  # boxes
WORTH_A_LOOK = 0.8  # quality below which a box is shown
KINDS = {
    "badly_located": "badly located",
    "swapped": "may be of another class",
    "overlooked": "beside something overlooked",
}
"""What a low score of boxloop/oracle/label_quality.py means."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class GrowthFacts:
    """The growth table, over the rounds that counted their boxes."""

    numbers: Sequence[int]
    """Of the rounds."""
    classes: Sequence[Row]
    """name, start, totals, increase, withdrawn, reviewed, adopted, precision, recall, mean_iou; the
    class with most boxes at the start comes first."""
    total: Row
    """The same of all classes, but for the last four."""
    mixes: Sequence[tuple[int, Mapping[str, float | None]]]
    """Number of a round with its entropy and Gini."""
    is_rehearsed: bool
    """Whether precision, recall and mean_iou are those of a rehearsal on validation images."""


class Look(NamedTuple):
    """A box that is worth a look."""

    class_name: str
    round_number: int
    kind: str
    quality: float
    shown: Shown
    """Dashed, the box; solid, what the last detector found."""


def build_growth_facts(rounds: Sequence[RoundFacts]) -> GrowthFacts | None:
    """Return the growth table, None where no round has counted its boxes."""
    grown = [facts.summary for facts in rounds if facts.summary.get("growth")]
    if not grown:
        return None
    names = [row["class_name"] for row in grown[-1]["growth"]]
    by_round = [{row["class_name"]: row for row in summary["growth"]} for summary in grown]
    classes = [_class_row(name, [rows[name] for rows in by_round]) for name in names]
    classes.sort(key=lambda row: (-row["start"], row["name"]))
    sums = {key: sum(row[key] for row in classes) for key in _SUMMED}
    totals = [sum(column) for column in zip(*(row["totals"] for row in classes), strict=True)]
    return GrowthFacts(
        numbers=[summary["round"] for summary in grown],
        classes=classes,
        total={"name": "all", "totals": totals, **sums},
        mixes=[(summary["round"], summary["class_mix"]) for summary in grown],
        is_rehearsed=grown[-1].get("measured_on") == "validation",
    )


_SUMMED = ("start", "increase", "withdrawn", "reviewed")
_QUALITY = ("precision", "recall", "mean_iou")


def _class_row(name: str, rows: Sequence[Mapping[str, Any]]) -> Row:
    first, last = rows[0], rows[-1]
    start = first["total"] - first["added"] + first["withdrawn"]
    return {
        "name": name,
        "start": start,
        "totals": [row["total"] for row in rows],
        "increase": last["total"] - start,
        "withdrawn": sum(row["withdrawn"] for row in rows),
        **{key: last[key] for key in ("reviewed", "adopted")},
        **{figure: last[figure] for figure in _QUALITY},
    }


def boxes_to_look_at(
    dataset: Dataset | None,
    detections: pd.DataFrame | None,
    evaluation: Mapping[str, Any],
    shower: Shower,
) -> list[Look]:
    """Return the adopted boxes that the last detector speaks against most.

    A detection is held against a box from the operating threshold on. ObjectLab's own thresholds
    are for probabilities, which the scores of these detectors are not: few ever reach 0.95.

    Args:
        dataset: what the last round left, None where that is not known.
        detections: of the last round in the pool, from `score_that_counts` on; None where they
            were not kept.
        evaluation: of the last round.
        shower: makes the pictures.
    """
    if dataset is None or detections is None:
        return []
    boxes = dataset.boxes[dataset.boxes["origin"] != DOUBTFUL]
    boxes = boxes[is_in(boxes["image_id"], dataset.split("pool")["image_id"])]
    counts_from = score_that_counts(evaluation)
    scores = label_quality(boxes, detections, low_score=counts_from, high_score=counts_from)
    scores = scores.assign(origin=boxes["origin"].array, round=boxes["round"].array)
    found = worst(scores[scores["origin"] == ADOPTED], LOOK_AT, below=WORTH_A_LOOK)
    sure = detections[
        (detections["score"] >= counts_from) & is_in(detections["image_id"], found["image_id"])
    ]
    outlines = Outlines({}, {str(image_id): rows for image_id, rows in sure.groupby("image_id")})
    return [_look(row, outlines, shower) for row in found.to_dict("records")]


def score_that_counts(evaluation: Mapping[str, Any]) -> float:
    """Return the score from which on a detection is held against a box."""
    return float(evaluation.get("operating", {}).get("threshold", LOW_SCORE))


def _look(row: Mapping[Any, Any], outlines: Outlines, shower: Shower) -> Look:
    name, image_id = str(row["class_name"]), str(row["image_id"])
    xmin, ymin, xmax, ymax = (float(row[edge]) for edge in XYXY)
    drawn = [Outline((xmin, ymin, xmax, ymax), name, None), *outlines.draw(image_id)]
    shown = shower.show_these(image_id, drawn)
    return Look(name, int(row["round"]), KINDS[row["kind"]], float(row["quality"]), shown)
