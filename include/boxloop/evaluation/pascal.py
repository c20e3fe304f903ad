"""Average precision as PASCAL VOC defines it since 2010, without TensorFlow.

It is the whole area under the precision-recall curve, at IoU 0.5. COCO's AP at the same IoU is
another figure for two reasons. It reads the curve at 101 recalls and takes their mean, so that with
few true boxes it comes out up to a hundredth higher or lower. And a detection whose best true box
is taken may have another that it overlaps by 0.5, where VOC calls it wrong.

Source: Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit",
section 3.4; the names of the figures are those of TensorFlow's Object Detection API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from boxloop.evaluation.matching import MIN_IOU, Matches, match, overlapping_pairs
from boxloop.evaluation.results import Array, Results, sort_results

MEAN_KEY = "PascalBoxes_Precision/mAP@0.5IOU"
CLASS_KEY = "PascalBoxes_PerformanceByCategory/AP@0.5IOU/{}"


class ImageResult(NamedTuple):
    """What is in an image, and what was found there; boxes in any one frame of pixels."""

    truth_boxes: Array
    """Shape (N, 4): two corners."""
    truth_ids: Array
    """Shape (N,)."""
    boxes: Array
    """Shape (M, 4)."""
    ids: Array
    """Shape (M,)."""
    scores: Array
    """Shape (M,)."""


_EMPTY = ImageResult(np.empty((0, 4)), np.empty(0), np.empty((0, 4)), np.empty(0), np.empty(0))


def pascal_metrics(images: Sequence[ImageResult], class_names: Sequence[str]) -> dict[str, float]:
    """Return mean and class-wise average precision under their usual names.

    A class without any true box is nan, and left out of the mean. No box is difficult.

    Args:
        images: the results.
        class_names: in the order of their ids, from 1; boxes of other ids are left out.
    """
    results = _build_results(images, len(class_names))
    matches = match(results, overlapping_pairs(results, MIN_IOU))
    return name_figures(class_precisions(results, matches), class_names)


def name_figures(precisions: Array, class_names: Sequence[str]) -> dict[str, float]:
    """Return average precisions of classes and their mean under the names of the study."""
    by_class = zip(class_names, precisions.tolist(), strict=True)
    return {
        MEAN_KEY: mean_precision(precisions),
        **{CLASS_KEY.format(name): value for name, value in by_class},
    }


def mean_precision(precisions: Array) -> float:
    """Return the mean over the classes that have one, nan where none has."""
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else float("nan")


def class_precisions(results: Results, matches: Matches) -> Array:
    """Return the average precision of each class, shape (classes,); nan without a true box."""
    counts = ~matches.is_ignored
    return average_precisions(results.classes[counts], matches.is_right[counts], results.num_truths)


def average_precisions(classes: Array, is_right: Array, num_truths: Array) -> Array:
    """Return the area under each class's precision-recall curve.

    Precision is highest at right detections, so only those need to be looked at.

    Args:
        classes: shape (N,), numbers from 0 of detections that count, the best first.
        is_right: shape (N,).
        num_truths: shape (classes,).

    Returns:
        Shape (classes,); nan where there is nothing to be found.
    """
    areas = np.full(len(num_truths), np.nan)
    # numbers of 16 bits and less are sorted without comparing them
    order = np.argsort(classes.astype(np.min_scalar_type(len(num_truths))), kind="stable")
    bounds = np.searchsorted(classes[order], np.arange(len(num_truths) + 1))
    for number in np.flatnonzero(num_truths):
        own = order[bounds[number] : bounds[number + 1]]
        places = np.flatnonzero(is_right[own])
        precisions = np.arange(1, len(places) + 1) / (places + 1)
        areas[number] = np.maximum.accumulate(precisions[::-1]).sum() / num_truths[number]
    return areas


def _build_results(images: Sequence[ImageResult], num_classes: int) -> Results:
    images = [*images, _EMPTY]  # so that there is something to join
    truth_images, truth_boxes, truth_ids = _joined(
        [(image.truth_boxes, image.truth_ids) for image in images], num_classes
    )
    of_images, boxes, ids, scores = _joined(
        [(image.boxes, image.ids, image.scores) for image in images], num_classes
    )
    return sort_results(
        num_images=len(images),
        num_classes=num_classes,
        images=of_images,
        classes=ids - 1,
        scores=scores,
        boxes=boxes,
        truth_images=truth_images,
        truth_classes=truth_ids - 1,
        truth_boxes=truth_boxes,
        is_difficult=np.zeros(len(truth_ids), bool),
    )


def _joined(of_images: Sequence[tuple[Array, ...]], num_classes: int) -> tuple[Array, ...]:
    """Return of boxes with a known id: number of the image, box, id, and what else there is."""
    numbers = np.repeat(np.arange(len(of_images)), [len(ids) for _, ids, *_ in of_images])
    boxes, ids, *rest = (np.concatenate(column) for column in zip(*of_images, strict=True))
    is_known = (ids >= 1) & (ids <= num_classes)
    return tuple(column[is_known] for column in (numbers, boxes, ids.astype(int), *rest))
