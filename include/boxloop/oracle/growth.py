"""What a round added, class by class, and how good it is: the growth table of the 2018 study.

The study's table had totals and their increase. This one also says what was withdrawn and what
people gave, and, where true boxes are known, how much of what was adopted is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from boxloop.data.boxes import iou_of_pairs
from boxloop.data.dataset import ADOPTED, DOUBTFUL, HUMAN, REVIEWED, XYXY, is_in
from boxloop.evaluation.matching import match, overlapping_pairs
from boxloop.evaluation.results import build_results
from boxloop.oracle.adoptions import REJECTED, WITHDRAWN

MIN_IOU = 0.5  # with a true box of the same class: an adopted box counts as right
ORIGINS = (HUMAN, ADOPTED, REVIEWED)

Row = dict[str, Any]


def growth_rows(
    before: pd.DataFrame,
    after: pd.DataFrame,
    adoptions: pd.DataFrame,
    truth: pd.DataFrame | None,
    class_names: Sequence[str],
) -> list[Row]:
    """Return the row of each class for one round.

    Args:
        before: boxes of the images that the round trained on, with BOX_COLUMNS.
        after: those of the next round. Doubtful boxes do not count in either.
        adoptions: what the oracle said, with its column `verdict`.
        truth: true boxes of pool images, or None where none are known.
        class_names: of the rows, in their order.

    Returns:
        For each class: class_name; human, adopted, reviewed: boxes by origin after the round;
        total: their sum; added and withdrawn: what came and went, so that the total before plus
        added less withdrawn is the total; precision: the share of adopted boxes that are right,
        an IoU of 0.5 or more with a true box of their class; recall: the share of true boxes that
        such a box lies on; mean_iou: of right boxes with the true box they overlap most.
        The last three are of all adopted boxes that stand after the round, on images whose true
        boxes are known, and None where there are none to be measured on.
    """
    after, before = (table[table["origin"] != DOUBTFUL] for table in (after, before))
    totals = {origin: _count(after[after["origin"] == origin]) for origin in ORIGINS}
    added, withdrawn = _changes(before, after, adoptions)
    quality = _quality(after[after["origin"] == ADOPTED], truth)
    return [
        {
            "class_name": name,
            **{origin: totals[origin].get(name, 0) for origin in ORIGINS},
            "total": sum(counts.get(name, 0) for counts in totals.values()),
            "added": added.get(name, 0),
            "withdrawn": withdrawn.get(name, 0),
            **{figure: by_class.get(name) for figure, by_class in quality.items()},
        }
        for name in class_names
    ]


def class_mix(totals: Mapping[str, int]) -> dict[str, float | None]:
    """Return how evenly boxes are spread over the classes.

    Args:
        totals: class to number of boxes, at least one class.

    Returns:
        `entropy`: Shannon's of the classes' shares, divided by its largest value, so that 1 is
        evenly spread and 0 all in one class (Pielou's evenness, "The measurement of diversity in
        different types of biological collections", 1966; a single class counts as evenly spread).
        `gini`: mean difference between two classes over twice the mean, 0 is evenly spread (Gini,
        "Measurement of inequality of incomes", 1921). Both None where there is no box.
    """
    counts = np.sort(np.array(list(totals.values()), float))
    if not counts.sum():
        return {"entropy": None, "gini": None}
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-(shares * np.log(shares)).sum())
    ranks = np.arange(1, len(counts) + 1)
    gini = float(((2 * ranks - len(counts) - 1) * counts).sum() / (len(counts) * counts.sum()))
    largest = math.log(len(counts))
    evenness = min(1.0, entropy / largest) if largest else 1.0
    return {"entropy": abs(evenness), "gini": abs(gini)}


def agreement(adoptions: pd.DataFrame, previous: pd.DataFrame | None) -> float | None:
    """Return in which share of images two rounds on end found the same.

    The same is the best detection of one class with an IoU of 0.5 or more, or nothing in both.

    Args:
        adoptions: what the oracle said in a round; the first row of an image that was not
            withdrawn shows its best detection.
        previous: that of the round before, None for the first round.

    Returns:
        A share in [0, 1] of the images that both rounds asked about; None where there are none.
    """
    if previous is None:
        return None
    first, second = _best(adoptions), _best(previous)
    both = first.merge(second, on="image_id", suffixes=("", "_before"))
    if both.empty:
        return None
    names = both["class_name"], both["class_name_before"]
    old = both[[f"{edge}_before" for edge in XYXY]].to_numpy(float)
    is_close = iou_of_pairs(both[XYXY].to_numpy(float), old) >= MIN_IOU
    is_same = (names[0] == names[1]).fillna(False).to_numpy(bool) & is_close
    is_nothing = (names[0].isna() & names[1].isna()).to_numpy(bool)
    return float((is_same | is_nothing).mean())


def _best(adoptions: pd.DataFrame) -> pd.DataFrame:
    """Return the best detection of each image."""
    standing = adoptions[verdicts(adoptions) != WITHDRAWN]
    return standing.drop_duplicates("image_id")[["image_id", "class_name", *XYXY]]


def verdicts(adoptions: pd.DataFrame) -> pd.Series:
    """Return the verdict of each row; a table older than verdicts adopted or rejected."""
    if "verdict" in adoptions:
        return adoptions["verdict"]
    names = np.where(adoptions["is_adopted"].astype(bool), ADOPTED, REJECTED)
    return pd.Series(names, index=adoptions.index, dtype="string")


def _count(boxes: pd.DataFrame) -> dict[str, int]:
    counts = boxes["class_name"].value_counts()
    return {str(name): int(count) for name, count in counts.items()}


def _changes(
    before: pd.DataFrame, after: pd.DataFrame, adoptions: pd.DataFrame
) -> tuple[dict[str, int], dict[str, int]]:
    """Return boxes that came and that went, by class.

    Of a class in an image, so many went as were withdrawn, or as there are fewer: people may have
    put another box in the place of an adopted one.
    """
    gone = adoptions[verdicts(adoptions) == WITHDRAWN]
    keys = ["image_id", "class_name"]
    tables = {"before": before, "after": after, "gone": gone}
    parts = [table[keys].assign(_of=name) for name, table in tables.items()]
    every = pd.concat(parts, ignore_index=True)
    groups = every.groupby(keys, sort=False).ngroup().to_numpy()
    numbers = {
        name: np.bincount(groups[(every["_of"] == name).to_numpy(bool)], minlength=len(every))
        for name in tables
    }
    withdrawn = np.maximum(numbers["gone"], numbers["before"] - numbers["after"])
    added = numbers["after"] - numbers["before"] + withdrawn
    names = every.drop_duplicates(keys)["class_name"]  # in the order of the groups
    return _sum_by(names, added), _sum_by(names, withdrawn)


def _sum_by(names: pd.Series, values: NDArray[np.int64]) -> dict[str, int]:
    sums = pd.Series(values[: len(names)]).groupby(names.to_numpy()).sum()
    return {str(name): int(total) for name, total in sums.items()}


def _quality(adopted: pd.DataFrame, truth: pd.DataFrame | None) -> dict[str, dict[str, float]]:
    """Return precision, recall and mean IoU of adopted boxes, each by class.

    By VOC's rule, as for the oracle's thresholds: a second box on one object is wrong, and
    difficult objects do not count.
    """
    if truth is None or truth.empty:
        return {"precision": {}, "recall": {}, "mean_iou": {}}
    known = adopted[is_in(adopted["image_id"], truth["image_id"])]
    names = sorted({*known["class_name"], *truth["class_name"]})
    results = build_results(known, truth, list(truth["image_id"].unique()), names)
    matches = match(results, overlapping_pairs(results, MIN_IOU))
    is_right, counts = matches.is_right, ~matches.is_ignored
    found = np.zeros(len(results.truth_classes), bool)
    found[matches.truths[is_right]] = True
    ious = iou_of_pairs(results.boxes[is_right], results.truth_boxes[matches.truths[is_right]])
    of_class, true_class = (
        np.array(names, object)[classes] for classes in (results.classes, results.truth_classes)
    )
    return {
        "precision": _mean_by(of_class[counts], is_right[counts]),
        "recall": _mean_by(true_class[~results.is_difficult], found[~results.is_difficult]),
        "mean_iou": _mean_by(of_class[is_right], ious),
    }


def _mean_by(names: NDArray[Any], values: NDArray[Any]) -> dict[str, float]:
    means = pd.Series(values.astype(float)).groupby(names).mean()
    return {str(name): float(mean) for name, mean in means.items()}
