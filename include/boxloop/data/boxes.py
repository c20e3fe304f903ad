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
    low = np.maximum(detected_xyxy[:, None, :2], truth_xyxy[None, :, :2])
    high = np.minimum(detected_xyxy[:, None, 2:], truth_xyxy[None, :, 2:])
    overlap: Matrix = np.clip(high - low, 0, None).prod(axis=2, dtype=np.float64)
    union = _areas(detected_xyxy)[:, None] + _areas(truth_xyxy)[None, :] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _areas(boxes_xyxy: Boxes) -> Matrix:
    areas: Matrix = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1, dtype=np.float64)
    return areas
