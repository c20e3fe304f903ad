"""Detections and true boxes of the same images as arrays: what every figure is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from boxloop.data.dataset import XYXY

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Results:
    """N detections, the best first, and M true boxes; images and classes by their numbers from 0.

    Equal scores are put in order by image, class and box, so the order of rows plays no part.
    """

    num_images: int
    num_classes: int
    images: Array
    """Shape (N,)."""
    classes: Array
    """Shape (N,)."""
    scores: Array
    """Shape (N,)."""
    boxes: Array
    """Shape (N, 4): two corners, in pixels."""
    truth_images: Array
    """Shape (M,), ascending."""
    truth_classes: Array
    """Shape (M,)."""
    truth_boxes: Array
    """Shape (M, 4)."""
    is_difficult: Array
    """Shape (M,): neither to be found nor wrong to find."""

    @property
    def num_truths(self) -> Array:
        """Shape (classes,): true boxes to be found."""
        return np.bincount(self.truth_classes[~self.is_difficult], minlength=self.num_classes)


def build_results(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    image_ids: Sequence[str],
    class_names: Sequence[str],
) -> Results:
    """Return tables as arrays.

    Args:
        detections: with DETECTION_COLUMNS.
        truth: image_id, class_name, xmin, ymin, xmax, ymax, and difficult if there is any.
        image_ids: every image that was looked at, each once; numbered by their names.
        class_names: in the order of their numbers.

    Raises:
        ValueError: if a table names a class or an image that is not among them, or an image is
            there twice.
    """
    if len(set(image_ids)) < len(image_ids):
        raise ValueError("images: an image_id is there twice, list every image once")
    image_ids = sorted(image_ids)
    return sort_results(
        num_images=len(image_ids),
        num_classes=len(class_names),
        images=_numbers(detections["image_id"], image_ids, "detections"),
        classes=_numbers(detections["class_name"], class_names, "detections"),
        scores=detections["score"].to_numpy(float),
        boxes=detections[XYXY].to_numpy(float),
        truth_images=_numbers(truth["image_id"], image_ids, "truth"),
        truth_classes=_numbers(truth["class_name"], class_names, "truth"),
        truth_boxes=truth[XYXY].to_numpy(float),
        is_difficult=truth.get("difficult", pd.Series(False, truth.index)).to_numpy(bool),
    )


def sort_results(
    *,
    num_images: int,
    num_classes: int,
    images: Array,
    classes: Array,
    scores: Array,
    boxes: Array,
    truth_images: Array,
    truth_classes: Array,
    truth_boxes: Array,
    is_difficult: Array,
) -> Results:
    """Return arrays in any order as results; the arguments are the fields."""
    order = np.lexsort((*boxes.T[::-1], classes, images, -scores))
    truth_order = np.lexsort((*truth_boxes.T[::-1], truth_classes, truth_images))
    return Results(
        num_images,
        num_classes,
        images[order],
        classes[order],
        scores[order],
        boxes[order],
        truth_images[truth_order],
        truth_classes[truth_order],
        truth_boxes[truth_order],
        is_difficult[truth_order],
    )


def _numbers(names: pd.Series, known: Sequence[str], table: str) -> Array:
    """Return the place of each name among the known ones."""
    codes, found = pd.factorize(names)
    places = pd.Index(list(known)).get_indexer(pd.Index(found.astype(object)))
    if (unknown := sorted(str(name) for name in found[places < 0])) or (codes < 0).any():
        some = ", ".join(repr(name) for name in unknown[:5]) or "null"
        kind = str(names.name)
        raise ValueError(f"{table}: {kind} {some} is not among the {len(known)} evaluated")
    return places[codes]
