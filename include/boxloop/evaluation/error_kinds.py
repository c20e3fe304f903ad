"""Why detections are wrong and true boxes are missed, and what each reason costs.

Source: Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors",
ECCV 2020, sections 2.2 and 2.3; its thresholds, 0.5 and 0.1. As there, kinds are tried in the order
localisation, classification, duplicate, background, both. Two things are ours: what is right is
decided by VOC's rule, and costs are in VOC's AP, so that they can be held against the headline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from boxloop.evaluation.matching import (
    MIN_IOU,
    Best,
    Matches,
    Pairs,
    best_truths,
    first_of_each,
    is_same_class,
    select,
)
from boxloop.evaluation.pascal import average_precisions, mean_precision
from boxloop.evaluation.results import Array, Results

CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(5)
NO_ERROR = -1
NAMES = ("classification", "localisation", "both", "duplicate", "background")
MISSED = "missed"


class _Errors(NamedTuple):
    kinds: Array
    """Shape (N,): of detections, NO_ERROR where right or ignored."""
    mended: Array
    """Shape (N,): the true box that a detection finds once its one fault is mended, or -1."""
    is_missed: Array
    """Shape (M,): true boxes that no mended detection finds either."""


def error_kinds(
    results: Results, pairs: Pairs, matches: Matches
) -> dict[str, dict[str, int | float]]:
    """Count the errors of each kind, and say how much mAP would rise if there were none of it.

    Args:
        results: all detections, whatever their score.
        pairs: those of at least BACKGROUND_IOU.
        matches: of the same results.

    Returns:
        Kind -> {"count", "cost"}; the cost is in mAP@0.5, in [0, 1], and nan where no class has a
        true box. Costs do not add up: each is that of mending one kind alone.
    """
    errors = _find_errors(results, pairs, matches)
    before = mean_precision(_precisions(results, matches, errors, NO_ERROR))
    counts = np.bincount(errors.kinds[errors.kinds >= 0], minlength=len(NAMES)).tolist()
    costs = [
        mean_precision(_precisions(results, matches, errors, kind)) - before
        for kind in range(len(NAMES))
    ]
    found = np.flatnonzero(errors.is_missed)
    missing = mean_precision(_without_missed(results, matches, errors)) - before
    rows = zip((*NAMES, MISSED), (*counts, len(found)), (*costs, missing), strict=True)
    return {name: {"count": count, "cost": cost} for name, count, cost in rows}


def _find_errors(results: Results, pairs: Pairs, matches: Matches) -> _Errors:
    pairs = select(pairs, ~results.is_difficult[pairs.truths])
    is_same = is_same_class(results, pairs)
    own = best_truths(len(results.scores), select(pairs, is_same))
    other = best_truths(len(results.scores), select(pairs, ~is_same))
    kinds = _kinds(own, other, ~matches.is_right & ~matches.is_ignored)
    aims = np.select(
        [kinds == LOCALISATION, kinds == CLASSIFICATION], [own.truths, other.truths], -1
    )
    is_found = np.zeros(len(results.truth_classes) + 1, bool)  # the last for -1
    is_found[matches.truths[matches.is_right]] = True
    aims = np.where(is_found[aims], -1, aims)
    is_missed = ~is_found[:-1] & ~results.is_difficult
    is_missed[aims[aims >= 0]] = False
    return _Errors(kinds, np.where(first_of_each(aims), aims, -1), is_missed)


def _kinds(own: Best, other: Best, is_wrong: Array) -> Array:
    """Return the kind of each wrong detection from what it overlaps in its own and other classes.

    What overlaps nothing by BACKGROUND_IOU is in no pair.
    """
    return np.select(
        [
            ~is_wrong,
            (own.truths >= 0) & (own.ious < MIN_IOU),
            other.ious >= MIN_IOU,
            own.truths >= 0,
            other.truths < 0,
        ],
        [NO_ERROR, LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND],
        BOTH,
    )


def _precisions(results: Results, matches: Matches, errors: _Errors, kind: int) -> Array:
    """Return the average precision of each class with one kind of error mended.

    The best detection that would find a true box were it not for the error finds it; all others of
    the kind are left out.
    """
    is_mended = (errors.kinds == kind) & (errors.mended >= 0)
    counts = ~matches.is_ignored & ((errors.kinds != kind) | is_mended | matches.is_right)
    classes = results.classes.copy()
    classes[is_mended] = results.truth_classes[errors.mended[is_mended]]
    is_right = matches.is_right | is_mended
    return average_precisions(classes[counts], is_right[counts], results.num_truths)


def _without_missed(results: Results, matches: Matches, errors: _Errors) -> Array:
    """Return the average precision of each class if missed true boxes were not asked for.

    A class with nothing left to ask for is perfect if nothing of it was detected either, else 0.
    """
    num = results.num_classes
    missed = np.bincount(results.truth_classes[errors.is_missed], minlength=num)
    counts = ~matches.is_ignored
    precisions = average_precisions(
        results.classes[counts], matches.is_right[counts], results.num_truths - missed
    )
    is_silent = np.bincount(results.classes[counts], minlength=num) == 0
    is_empty = (results.num_truths > 0) & (results.num_truths == missed)
    return np.where(is_empty, is_silent.astype(float), precisions)
