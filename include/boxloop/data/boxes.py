"""Geometry of bounding boxes: arrays of pixels, 0-based, xyxy, max edge exclusive."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Boxes: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]


def iou_matrix(detected_xyxy: Boxes, truth_xyxy: Boxes) -> Matrix:
    """Return the intersection over union of every detected box with every true one.

    Args:
        detected_xyxy: shape (N, 4), pixels.
        truth_xyxy: shape (M, 4), pixels.

    Returns:
        Shape (N, M), in [0, 1]; 0 where the union has no area.

    Raises:
        ValueError: if either array is not of shape (_, 4).

    Source: Everingham et al., "The PASCAL VOC Challenge", IJCV 2010, section 4.2.
    """
    for name, boxes in (("detected_xyxy", detected_xyxy), ("truth_xyxy", truth_xyxy)):
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"{name} must have shape (_, 4), got {boxes.shape}")
    return iou_of_pairs(detected_xyxy[:, None], truth_xyxy[None])


def iou_of_pairs(detected_xyxy: Boxes, truth_xyxy: Boxes) -> Matrix:
    """Return the intersection over union of each detected box with its true one.

    Args:
        detected_xyxy: shape (..., 4), pixels.
        truth_xyxy: of the same shape, or one that goes with it by NumPy's broadcasting.

    Returns:
        Shape (...), in [0, 1]; 0 where the union has no area.
    """
    width = _overlap(detected_xyxy, truth_xyxy, 0)
    height = _overlap(detected_xyxy, truth_xyxy, 1)
    overlap: Matrix = width * height
    union = areas(detected_xyxy) + areas(truth_xyxy) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def areas(boxes_xyxy: Boxes) -> Matrix:
    """Return the areas of boxes of shape (..., 4), in square pixels."""
    sides = boxes_xyxy[..., 2:].astype(np.float64) - boxes_xyxy[..., :2]
    area: Matrix = sides[..., 0] * sides[..., 1]
    return area


def _overlap(first_xyxy: Boxes, second_xyxy: Boxes, axis: int) -> Matrix:
    """Return the length that boxes share along the x axis (0) or the y axis (1)."""
    low = np.maximum(first_xyxy[..., axis], second_xyxy[..., axis])
    high = np.minimum(first_xyxy[..., axis + 2], second_xyxy[..., axis + 2])
    length: Matrix = np.clip(high.astype(np.float64) - low, 0, None)
    return length
