"""Train a detector with Model Garden's own loop, from the last checkpoint if there is one."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from official.core import task_factory, train_lib

from boxloop.detector.config import build_config, set_training_data
from boxloop.detector.weights import resolve
from boxloop.progress import Stopwatch, tell
from boxloop.settings import Experiment
from boxloop.train_settings import WeightsConfig

log = logging.getLogger(__name__)


def train(
    experiment: Experiment,
    *,
    shards: Sequence[Path],
    num_classes: int,
    model_dir: Path,
    previous_dir: Path | None,
    seed: int,
    on_checkpoint: Callable[[], None],
) -> dict[str, Any]:
    """Train for `experiment.train.steps` steps in all, counting those a killed task has made.

    Args:
        experiment: model and schedule.
        shards: local TFRecord files.
        num_classes: without the background.
        model_dir: gets checkpoints and TensorBoard events; the newest checkpoint is resumed.
        previous_dir: checkpoints whose weights to begin with; None: the pretrained backbone's.
        seed: of initial weights, order and augmentation.
        on_checkpoint: called after each checkpoint.

    Returns:
        {"steps": int, "loss": float}, the loss that of the last steps.

    Raises:
        FloatingPointError: if the loss is not a finite number.
    """
    tf.keras.utils.set_random_seed(seed)
    config = build_config(experiment, num_classes)
    batch_size = experiment.train.batch_size
    set_training_data(config, shards, batch_size=batch_size, seed=seed)
    _set_start(config, experiment.model.backbone, previous_dir)
    task = task_factory.get_task(config.task, logging_dir=str(model_dir))
    task.build_inputs = partial(
        _build_inputs, task.build_inputs, num_classes + 1, experiment.train.deterministic
    )
    watch = _Watch(experiment, on_checkpoint)
    runner = train_lib.OrbitExperimentRunner(
        tf.distribute.get_strategy(),
        task,
        "train",
        config,
        str(model_dir),
        train_actions=[watch],
    )
    watch.attach(runner)
    runner.controller.train(steps=experiment.train.steps)
    on_checkpoint()
    return {"steps": int(runner.trainer.global_step.numpy()), "loss": watch.loss}


def _build_inputs(
    build_inputs: Callable[..., Any], doubtful_id: int, is_deterministic: bool, *args: Any
) -> Any:
    """Return Model Garden's input pipeline, with doubtful boxes masked.

    Deterministic: one thread reads and augments, so that random numbers meet images in a fixed
    order. TensorFlow's own switch, enable_op_determinism, cannot rewrite Model Garden's parser:
    "input[0] == '^args_3', is not found" (TensorFlow 2.20).
    """
    dataset = build_inputs(*args).map(partial(mask_doubtful, doubtful_id=doubtful_id))
    if not is_deterministic:
        return dataset
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    return dataset.with_options(options)


def mask_doubtful(images: Any, labels: dict[str, Any], *, doubtful_id: int) -> tuple[Any, Any]:
    """Take anchors that match a doubtful box out of the loss: neither object nor background.

    Args:
        images: passed on.
        labels: RetinaNet's: `cls_targets` by level, `cls_weights` and `box_weights` of all levels.
        doubtful_id: the class id of doubtful boxes.
    """
    flat = [tf.reshape(level, [tf.shape(level)[0], -1]) for level in labels["cls_targets"].values()]
    is_certain = tf.cast(tf.concat(flat, axis=1) != doubtful_id, tf.float32)
    masked = {
        name: labels[name] * tf.reshape(is_certain, tf.shape(labels[name]))
        for name in ("cls_weights", "box_weights")
    }
    return images, {**labels, **masked}


def _set_start(config: Any, backbone: WeightsConfig | None, previous_dir: Path | None) -> None:
    task = config.task
    if previous_dir is not None:
        task.init_checkpoint, task.init_checkpoint_modules = str(previous_dir), "all"
    elif backbone is not None:
        task.init_checkpoint = resolve(backbone)
        task.init_checkpoint_modules = "backbone"


class _Watch:
    """Called by the training loop every few steps: tells progress, and stops on a broken loss."""

    def __init__(self, experiment: Experiment, on_checkpoint: Callable[[], None]) -> None:
        self._train = experiment.train
        self._on_checkpoint = on_checkpoint
        self._checkpoint: str | None = None
        self.loss: float | None = None

    def attach(self, runner: train_lib.OrbitExperimentRunner) -> None:
        self._runner = runner
        self._step = int(runner.trainer.global_step.numpy())
        self._checkpoint = runner.checkpoint_manager.latest_checkpoint
        self._stopwatch = Stopwatch()
        if self._step:
            log.info("Resuming at step %d of %d", self._step, self._train.steps)

    def __call__(self, logs: dict[str, Any]) -> None:
        step = int(self._runner.trainer.global_step.numpy())
        self.loss = float(logs["total_loss"])
        if not math.isfinite(self.loss):
            raise FloatingPointError(
                f"the loss is {self.loss} at step {step}: lower train.learning_rate "
                f"(now {self._train.learning_rate}) or raise train.warmup_steps"
            )
        images = (step - self._step) * self._train.batch_size
        speed = self._stopwatch.rate(images)
        tell(step=step, steps=self._train.steps, images_per_second=speed, loss=self.loss)
        self._step = step
        latest = self._runner.checkpoint_manager.latest_checkpoint
        if latest != self._checkpoint:
            self._checkpoint = latest
            self._on_checkpoint()
