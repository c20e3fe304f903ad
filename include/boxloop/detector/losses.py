"""The curve of a training's loss, from the TensorBoard events that it left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

MAX_POINTS = 100
_TAG = "total_loss"


def loss_curve(folder: Path) -> list[list[float]]:
    """Return steps and losses of a training, at most MAX_POINTS of them, each a mean of neighbours.

    Args:
        folder: of the events; of a step that was made twice, after a kill, the last counts.

    Returns:
        Rows of the last step of the neighbours and the mean of their losses.
    """
    by_step: dict[int, float] = {}
    for path in sorted(folder.glob("*tfevents*")):
        by_step.update(_losses(path))
    points = sorted(by_step.items())
    size = max(1, math.ceil(len(points) / MAX_POINTS))
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [[group[-1][0], _mean([loss for _, loss in group])] for group in groups]


def _losses(path: Path) -> Iterator[tuple[int, float]]:
    try:
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag == _TAG:
                    yield event.step, float(tf.make_ndarray(value.tensor))
    except tf.errors.DataLossError:  # a killed writer leaves half a record
        return


def _mean(losses: list[float]) -> float:
    return float(f"{sum(losses) / len(losses):.5g}")
