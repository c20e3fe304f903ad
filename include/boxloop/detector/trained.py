"""The weights of a trained detector in a file of their own, without the state of its training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import tensorflow as tf

log = logging.getLogger(__name__)

NAME = "detector"
"""Prefix of the files; the index, `detector.index`, is written last."""


def write_weights(model: Any, folder: Path) -> None:
    """Write all variables of a Model Garden detector; the same values give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    _checkpoint(model).write(str(folder / NAME))


def read_weights(model: Any, prefix: str | Path) -> int:
    """Give a detector the weights of a checkpoint of the same architecture and classes.

    Args:
        model: a Model Garden detector, built.
        prefix: such as `weights/detector`, or a checkpoint of Model Garden's trainer.

    Returns:
        The number of variables restored: all of them.

    Raises:
        ValueError: if a variable is not in the checkpoint, or has another shape there.
    """
    try:
        _checkpoint(model).read(str(prefix)).expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.NotFoundError) as error:
        raise ValueError(f"{prefix}: does not fit the model: {error}") from error
    log.info(
        "Restored %d of %d variables from %s", len(model.variables), len(model.variables), prefix
    )
    return len(model.variables)


def _checkpoint(model: Any) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(model=model)
