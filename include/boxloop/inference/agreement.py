"""How firmly a detector places its boxes: the same again in the mirrored and in a smaller image.

Source: test-time consistency as a gate for pseudo-boxes, as in Xu et al., "End-to-End
Semi-Supervised Object Detection with Soft Teacher", ICCV 2021, there by jittered boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from boxloop.data.boxes import iou_matrix
from boxloop.inference.portable import Array, Fitted, Found, Spec, fit

SMALLER = 0.75  # of the size that fills the frame


def variants(pixels: Array, spec: Spec) -> list[Fitted]:
    """Return an image in the model's frame: as it is, mirrored, and smaller."""
    return [
        fit(pixels, spec),
        fit(np.ascontiguousarray(pixels[:, ::-1]), spec),
        _fit_smaller(pixels, spec),
    ]


def agreement(found: Sequence[Found], width: int) -> Array:
    """Return, for each detection in the image as it is, its worst IoU with the other variants.

    Args:
        found: in the image's `variants`.
        width: of the image, in pixels.

    Returns:
        Shape (N,): IoU with the best box of the same class, 0 where a variant has none.
    """
    plain, mirrored, smaller = found
    left, right = width - mirrored.boxes_xyxy[:, 2], width - mirrored.boxes_xyxy[:, 0]
    boxes = mirrored.boxes_xyxy.copy()
    boxes[:, 0], boxes[:, 2] = left, right
    others = (replace(mirrored, boxes_xyxy=boxes), smaller)
    worst: Array = np.min([_best_iou(plain, other) for other in others], axis=0)
    return worst


def _best_iou(one: Found, other: Found) -> Array:
    ious = iou_matrix(one.boxes_xyxy, other.boxes_xyxy)
    is_same_class = one.class_ids[:, None] == other.class_ids
    best: Array = np.where(is_same_class, ious, 0.0).max(axis=1, initial=0.0)
    return best


def _fit_smaller(pixels: Array, spec: Spec) -> Fitted:
    height, width = (max(1, round(SMALLER * side)) for side in spec.input_size)
    small = fit(pixels, replace(spec, input_size=(height, width)))
    frame = np.empty((*spec.input_size, 3), np.float32)
    frame[:] = spec.mean_rgb
    frame[:height, :width] = small.frame
    return replace(small, frame=frame)
