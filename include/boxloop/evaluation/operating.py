"""What a detector does at the score from which its detections are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from boxloop.evaluation.matching import (
    MIN_IOU,
    Matches,
    Pairs,
    best_truths,
    first_of_each,
    is_same_class,
    match,
    overlapping_pairs,
    select,
)
from boxloop.evaluation.results import Array, Results, build_results

DEFAULT_THRESHOLD = 0.5  # where nothing can be learnt from
BACKGROUND = "background"


def best_threshold(
    detections: pd.DataFrame, truth: pd.DataFrame, class_names: Sequence[str]
) -> float | None:
    """Return the score from which using detections gives the highest F1, all classes pooled.

    Of several such scores, the highest; None where nothing is to be found or nothing right was.
    To be chosen on other images than those that are evaluated.

    Args:
        detections: with DETECTION_COLUMNS.
        truth: true boxes, with BOX_COLUMNS.
        class_names: in the order of their ids.

    Raises:
        ValueError: if a table has a class that is not among the names.
    """
    image_ids = sorted({*detections["image_id"], *truth["image_id"]})
    results = build_results(detections, truth, image_ids, class_names)
    matches = match(results, overlapping_pairs(results, MIN_IOU))
    scores = results.scores[~matches.is_ignored]
    right = np.cumsum(matches.is_right[~matches.is_ignored])
    if not right.any():
        return None
    f1 = 2 * right / (np.arange(1, len(right) + 1) + results.num_truths.sum())
    f1[:-1][scores[:-1] == scores[1:]] = 0  # equal scores are used together
    return float(scores[f1.argmax()])


def operating_point(
    results: Results, matches: Matches, threshold: float, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return precision, recall and F1 of all detections from a score on, and of each class.

    A share of nothing is nan: precision where nothing was found, recall where nothing is.
    """
    right, wrong = _counts(results, matches, threshold)
    missed = results.num_truths - right
    per_class = {
        name: _rates(*counts) | dict(zip(("right", "wrong", "missed"), counts, strict=True))
        for name, *counts in zip(
            class_names, right.tolist(), wrong.tolist(), missed.tolist(), strict=True
        )
    }
    pooled = _rates(int(right.sum()), int(wrong.sum()), int(missed.sum()))
    return {"threshold": threshold, **pooled, "per_class": per_class}


def confusion(
    results: Results,
    pairs: Pairs,
    matches: Matches,
    threshold: float,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """Count what true boxes were taken for, at an IoU of 0.5 and from a score on.

    Right detections are on the diagonal. Every wrong one then goes to the true box of another class
    that it overlaps most, of those that nothing right has found; the best takes it. The others
    found background, and true boxes left over were taken for background. So a row adds up to the
    true boxes of a class, and a column to its detections.

    Returns:
        {"names": classes and background, "cells": [truth, what was found, count]}: numbers of
        names, and every count that is not 0, so that many classes take little room.
    """
    is_used = (results.scores >= threshold) & ~matches.is_ignored
    found = _found(results, pairs, np.where(is_used, matches.truths, -1), is_used)
    is_free = _free(results, found)
    background = results.num_classes
    truth_classes = np.append(results.truth_classes, background)  # -1: nothing was there
    size = background + 1
    taken = truth_classes[found[is_used]] * size + results.classes[is_used]
    missed = results.truth_classes[is_free] * size + background
    cells, counts = np.unique(np.concatenate([taken, missed]), return_counts=True)
    rows = np.stack([cells // size, cells % size, counts], axis=1)
    return {"names": [*class_names, BACKGROUND], "cells": rows.tolist()}


def _found(results: Results, pairs: Pairs, right: Array, is_used: Array) -> Array:
    """Return the true box that each detection stands for, its class right or not; -1 for none."""
    is_wanted = (is_used & (right < 0))[pairs.detections] & _free(results, right)[pairs.truths]
    is_rival = ~is_same_class(results, pairs) & (pairs.ious >= MIN_IOU)
    taken = best_truths(len(right), select(pairs, is_wanted & is_rival)).truths
    return np.where(first_of_each(taken), taken, right)


def _free(results: Results, found: Array) -> Array:
    """Say which true boxes are to be found and were not."""
    is_free = ~results.is_difficult
    is_free[found[found >= 0]] = False
    return is_free


def image_table(
    results: Results, matches: Matches, threshold: float, image_ids: Sequence[str]
) -> pd.DataFrame:
    """Return of each image how many true boxes it has, were found, and were made up.

    Args:
        results: of these images.
        matches: of these results.
        threshold: score from which detections count.
        image_ids: in the order of their numbers.

    Returns:
        image_id, truths, found, wrong, is_right: all found and nothing wrong.
    """
    is_used = (results.scores >= threshold) & ~matches.is_ignored
    of_images = {
        "truths": results.truth_images[~results.is_difficult],
        "found": results.images[is_used & matches.is_right],
        "wrong": results.images[is_used & ~matches.is_right],
    }
    table = pd.DataFrame({"image_id": pd.Series(image_ids, dtype="string")})
    for name, numbers in of_images.items():
        table[name] = np.bincount(numbers, minlength=len(table)).astype("int32")
    return table.assign(is_right=(table["found"] == table["truths"]) & (table["wrong"] == 0))


def _counts(results: Results, matches: Matches, threshold: float) -> tuple[Array, Array]:
    """Return right and wrong detections by class."""
    is_used = (results.scores >= threshold) & ~matches.is_ignored
    num = results.num_classes
    right = np.bincount(results.classes[is_used & matches.is_right], minlength=num)
    wrong = np.bincount(results.classes[is_used & ~matches.is_right], minlength=num)
    return right, wrong


def _rates(right: int, wrong: int, missed: int) -> dict[str, float]:
    return {
        "precision": _share(right, right + wrong),
        "recall": _share(right, right + missed),
        "f1": _share(2 * right, 2 * right + wrong + missed),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
