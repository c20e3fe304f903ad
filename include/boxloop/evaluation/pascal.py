"""Average precision as PASCAL VOC defines it since 2010, without TensorFlow.

It is the whole area under the precision-recall curve, at IoU 0.5.

Source: Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit",
section 3.4; the names of the figures are those of TensorFlow's Object Detection API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from boxloop.data.boxes import iou_matrix

Array = np.ndarray[Any, Any]
MIN_IOU = 0.5
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


def pascal_metrics(images: Sequence[ImageResult], class_names: Sequence[str]) -> dict[str, float]:
    """Return mean and class-wise average precision under their usual names.

    A class without any true box is nan, and left out of the mean.

    Args:
        images: the results.
        class_names: in the order of their ids, from 1.
    """
    precisions = [
        average_precision(images, class_id) for class_id in range(1, len(class_names) + 1)
    ]
    known = [value for value in precisions if not np.isnan(value)]
    by_class = zip(class_names, precisions, strict=True)
    return {
        MEAN_KEY: float(np.mean(known)) if known else float("nan"),
        **{CLASS_KEY.format(name): value for name, value in by_class},
    }


def average_precision(images: Sequence[ImageResult], class_id: int) -> float:
    """Return the average precision of a class, nan where no image has it."""
    num_truths = sum(int((image.truth_ids == class_id).sum()) for image in images)
    if num_truths == 0:
        return float("nan")
    scores = np.concatenate([image.scores[image.ids == class_id] for image in images])
    is_true = np.concatenate([_true_positives(image, class_id) for image in images])
    hits = np.cumsum(is_true[np.argsort(-scores, kind="stable")])
    recall = hits / num_truths
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def _true_positives(image: ImageResult, class_id: int) -> Array:
    """Say which detections of a class are right, in their order: the best takes the true box."""
    of_class = image.ids == class_id
    scores, boxes = image.scores[of_class], image.boxes[of_class]
    truths = image.truth_boxes[image.truth_ids == class_id]
    is_true, taken = np.zeros(len(scores), bool), np.zeros(len(truths), bool)
    if len(truths) == 0:
        return is_true
    ious = iou_matrix(boxes, truths)
    for index in np.argsort(-scores, kind="stable"):
        best = int(ious[index].argmax())
        if ious[index, best] >= MIN_IOU and not taken[best]:
            is_true[index] = taken[best] = True
    return is_true
