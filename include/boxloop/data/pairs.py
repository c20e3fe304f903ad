"""Which rows of two tables of boxes overlap in the same image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from boxloop.data.boxes import iou_of_pairs
from boxloop.data.dataset import XYXY

Array = np.ndarray[Any, Any]

PAIRS_AT_ONCE = 500_000  # 70 MB


class Pairs(NamedTuple):
    """Rows of two tables that overlap, in the order of the first. All of shape (P,)."""

    first: Array
    """Numbers of rows, from 0."""
    second: Array
    ious: Array


def overlapping_pairs(first: pd.DataFrame, second: pd.DataFrame, *, min_iou: float) -> Pairs:
    """Return the pairs of rows in the same image with at least this IoU.

    Args:
        first: image_id and a box in xmin, ymin, xmax, ymax.
        second: the same.
        min_iou: above 0.
    """
    codes, _ = pd.factorize(pd.concat([first["image_id"], second["image_id"]]))
    images, others = codes[: len(first)], codes[len(first) :]
    order = np.argsort(others, kind="stable")
    boxes, other_boxes = first[XYXY].to_numpy(float), second[XYXY].to_numpy(float)
    parts = []
    for rows, places in pairs_by_image(images, others[order], int(codes.max(initial=-1)) + 1):
        other_rows = order[places]
        ious = iou_of_pairs(boxes[rows], other_boxes[other_rows])
        is_close = ious >= min_iou
        parts.append(Pairs(rows[is_close], other_rows[is_close], ious[is_close]))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def pairs_by_image(images: Array, others: Array, num_images: int) -> Iterator[tuple[Array, Array]]:
    """Give each row with every other of its image, a part at a time; at least one, maybe empty.

    Args:
        images: the image of each row, by its number from 0, shape (N,).
        others: that of the other rows, ascending, shape (M,).
        num_images: how many there are.
    """
    bounds = np.searchsorted(others, np.arange(num_images + 1))
    starts, counts = bounds[images], np.diff(bounds)[images]
    ends = np.cumsum(counts)
    num_parts = int(counts.sum()) // PAIRS_AT_ONCE + 1
    edges = np.searchsorted(ends, np.linspace(0, counts.sum(), num_parts + 1), side="right")
    edges[0], edges[-1] = 0, len(counts)
    for first, last in itertools.pairwise(edges):
        part = counts[first:last]
        rows = np.repeat(np.arange(first, last), part)
        before = np.repeat(np.cumsum(part) - part, part)
        yield rows, starts[rows] + np.arange(len(rows)) - before
