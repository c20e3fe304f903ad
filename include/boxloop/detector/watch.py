"""What is done between loops of steps: tell how it goes, and stop where it makes no sense to go on.

An interrupted training saves first: it goes on at that very step.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from official.core import train_lib

from boxloop.child import STOPPED
from boxloop.detector.config import STEPS_PER_LOOP
from boxloop.progress import Stopwatch, tell
from boxloop.train_settings import TrainConfig

log = logging.getLogger(__name__)

BLOW_UP = 100.0
"""A loss so many times that of the first steps has left everything learnt behind."""
_NOT_FINITE = "the loss is not a finite number"
_FOUND = re.compile(_NOT_FINITE + r"\] \[(\d+)\] \[([\d ]*)\]")


class Watch:
    """Called by the training loop every few steps, with the means of its losses."""

    def __init__(
        self,
        runner: train_lib.OrbitExperimentRunner,
        train: TrainConfig,
        *,
        on_checkpoint: Callable[[], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._runner = runner
        self._train = train
        self._on_checkpoint = on_checkpoint
        self._should_stop = should_stop
        self.step = int(runner.trainer.global_step.numpy())
        self._checkpoint = runner.checkpoint_manager.latest_checkpoint
        self._stopwatch = Stopwatch()
        self._first_loss: float | None = None

    def __call__(self, logs: dict[str, Any]) -> None:
        """Tell progress, hand on a new checkpoint, and save and stop if asked to.

        Raises:
            FloatingPointError: if the loss makes no sense any more.
            SystemExit: with code STOPPED, after a SIGTERM.
        """
        step = int(self._runner.trainer.global_step.numpy())
        loss = float(logs["total_loss"])
        self._check(step, logs)
        speed = self._stopwatch.rate((step - self.step) * self._train.batch_size)
        self.step = step
        tell(step=step, steps=self._train.total_steps, images_per_second=speed, loss=loss)
        with self._runner.controller.summary_manager.summary_writer().as_default():
            tf.summary.scalar("images_per_second", speed, step=step)
        self._pass_on_checkpoint()
        if self._should_stop():
            self._save_and_stop(step, logs)

    def restart(self) -> None:
        """Leave the time since the last steps out of the speed."""
        self._stopwatch = Stopwatch()

    def _check(self, step: int, logs: dict[str, Any]) -> None:
        model_loss = float(logs["model_loss"])
        box_loss = float(logs["rpn_box_loss" if "rpn_box_loss" in logs else "box_loss"])
        if self._first_loss is None:
            self._first_loss = model_loss
        if not math.isfinite(model_loss):
            raise FloatingPointError(f"{_NOT_FINITE} at step {step}: {advice(self._train)}")
        is_whole = step - self.step >= STEPS_PER_LOOP and self._train.box_loss_on_adopted
        if box_loss == 0 and is_whole:
            raise FloatingPointError(
                f"the loss of boxes is 0 from step {self.step} to {step}: no box meets an anchor; "
                "look at the boxes (boxloop train --show-augmented) and at the model's anchor sizes"
            )
        if model_loss > BLOW_UP * self._first_loss:
            raise FloatingPointError(
                f"the loss is {model_loss:.4g} at step {step}, and was {self._first_loss:.4g} "
                f"in the beginning: {advice(self._train)}"
            )

    def _pass_on_checkpoint(self) -> None:
        latest = self._runner.checkpoint_manager.latest_checkpoint
        if latest != self._checkpoint:
            self._checkpoint = latest
            self._on_checkpoint()

    def _save_and_stop(self, step: int, logs: dict[str, Any]) -> None:
        summaries = self._runner.controller.summary_manager
        summaries.write_summaries(logs)  # the loop would do it after this call
        summaries.flush()
        self._runner.checkpoint_manager.save(checkpoint_number=step, check_interval=False)
        self._on_checkpoint()
        log.info("Stopped at step %d, saved: the same task goes on from there", step)
        raise SystemExit(STOPPED)


def advice(train: TrainConfig) -> str:
    """Return what to change when the loss runs away."""
    return (
        f"lower train.learning_rate (now {train.learning_rate}) or raise train.warmup_steps "
        f"(now {train.warmup_steps}); boxes without area would do it too (boxloop doctor)"
    )


def guard_loss(task: Any) -> None:
    """Let a task's training step fail on a loss that is no number, naming step and images."""
    task.train_step = partial(_guarded_step, task.train_step)


def _guarded_step(train_step: Callable[..., Any], inputs: Any, **named: Any) -> Any:
    logs = train_step(inputs, **named)
    step = named["optimizer"].iterations
    found = [_NOT_FINITE, step, inputs[1]["source_ids"]]
    is_finite = tf.reduce_all(tf.math.is_finite(logs["loss"]))
    with tf.control_dependencies([tf.debugging.Assert(is_finite, found, summarize=-1)]):
        return tf.nest.map_structure(tf.identity, logs)


@contextmanager
def explained(train: TrainConfig, shards: Sequence[Path]) -> Iterator[None]:
    """Turn TensorFlow's errors into what to do about them.

    Raises:
        FloatingPointError: for a loss that is no number, with step and images.
        MemoryError: when memory is out, with the settings to lower.
        OSError: when the disk is full, for which TensorFlow has the same name.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if os.strerror(errno.ENOSPC) in error.message:
            raise OSError(errno.ENOSPC, error.message.splitlines()[0]) from error
        raise MemoryError(
            f"out of memory: lower train.batch_size (now {train.batch_size}) or "
            f"model.input_size, or set train.device.precision; {error.message.splitlines()[0]}"
        ) from error
    except tf.errors.InvalidArgumentError as error:
        if not (found := _FOUND.search(error.message)):
            raise
        names = ", ".join(_image_ids(shards, {int(number) for number in found[2].split()}))
        raise FloatingPointError(
            f"{_NOT_FINITE} at step {found[1]}, images {names}: {advice(train)}"
        ) from error


def _image_ids(shards: Sequence[Path], source_ids: set[int]) -> list[str]:
    """Return the image ids of examples, found by their numbers."""
    features = {
        name: tf.io.FixedLenFeature([], tf.string) for name in ("image/source_id", "image/filename")
    }
    records = tf.data.TFRecordDataset([str(shard) for shard in shards])
    parsed = records.map(partial(tf.io.parse_single_example, features=features))
    return sorted(
        example["image/filename"].decode()
        for example in parsed.as_numpy_iterator()
        if int(example["image/source_id"]) in source_ids
    )
