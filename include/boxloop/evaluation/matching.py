"""Which detections are right: each goes to the true box that it overlaps most, once.

Source: Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit",
section 3.4 and VOCevaldet.m.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from boxloop.data.boxes import iou_of_pairs
from boxloop.data.pairs import pairs_by_image
from boxloop.evaluation.results import Array, Results

MIN_IOU = 0.5
BACKGROUND_IOU = 0.1  # what overlaps nothing by that much is of no object


class Pairs(NamedTuple):
    """Detections and true boxes of one image that overlap, of any classes.

    In the order of detections, within one in that of true boxes. All of shape (P,).
    """

    detections: Array
    truths: Array
    ious: Array


class Best(NamedTuple):
    """The true box that each detection overlaps most; -1 and 0 where it overlaps none."""

    truths: Array
    """Shape (N,)."""
    ious: Array
    """Shape (N,)."""


class Matches(NamedTuple):
    """What VOC's rule says of N detections; what is neither right nor ignored is wrong."""

    truths: Array
    """Shape (N,): the true box that a right detection has found, -1 for others."""
    is_right: Array
    """Shape (N,)."""
    is_ignored: Array
    """Shape (N,): on a difficult box."""


def overlapping_pairs(results: Results, min_iou: float = BACKGROUND_IOU) -> Pairs:
    """Return all pairs in the same image with at least this IoU."""
    of_images = results.images, results.truth_images, results.num_images
    parts = [
        Pairs(detections[is_close], truths[is_close], ious[is_close])
        for detections, truths in pairs_by_image(*of_images)
        for ious in [iou_of_pairs(results.boxes[detections], results.truth_boxes[truths])]
        for is_close in [ious >= min_iou]
    ]
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def match(results: Results, pairs: Pairs) -> Matches:
    """Say which detections are right.

    A detection belongs to the true box of its class that it overlaps most, if by an IoU of 0.5.
    The best detection of a true box is right, further ones are wrong. What belongs to a difficult
    box is ignored.
    """
    is_candidate = is_same_class(results, pairs) & (pairs.ious >= MIN_IOU)
    truths = best_truths(len(results.scores), select(pairs, is_candidate)).truths
    is_ignored = np.append(results.is_difficult, False)[truths]  # -1: the one at the end
    is_right = first_of_each(np.where(is_ignored, -1, truths))
    return Matches(np.where(is_right, truths, -1), is_right, is_ignored)


def is_same_class(results: Results, pairs: Pairs) -> Array:
    """Say which pairs are of one class, shape (P,)."""
    same: Array = results.classes[pairs.detections] == results.truth_classes[pairs.truths]
    return same


def select(pairs: Pairs, is_wanted: Array) -> Pairs:
    """Return some of the pairs; `is_wanted` has shape (P,)."""
    return Pairs(*(column[is_wanted] for column in pairs))


def best_truths(num_detections: int, pairs: Pairs) -> Best:
    """Return of each detection the pair with the highest IoU; of equal ones the first true box."""
    order = np.lexsort((-pairs.ious, pairs.detections))
    order = order[np.diff(pairs.detections[order], prepend=-1) > 0]
    best = Best(np.full(num_detections, -1), np.zeros(num_detections))
    best.truths[pairs.detections[order]] = pairs.truths[order]
    best.ious[pairs.detections[order]] = pairs.ious[order]
    return best


def first_of_each(values: Array) -> Array:
    """Say of each value from 0 on whether it is the first of its kind; negative ones never are."""
    found, places = np.unique(values, return_index=True)
    is_first = np.zeros(len(values), bool)
    is_first[places[found >= 0]] = True
    return is_first
