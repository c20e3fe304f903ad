"""Train a detector with Model Garden's own loop, from the last checkpoint if there is one."""

from __future__ import annotations

import itertools
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras
from official.core import task_factory, train_lib
from official.modeling import optimization
from official.vision.configs import maskrcnn

from boxloop.detector import targets, weights
from boxloop.detector.config import BEST, build_config, set_evaluation_data, set_training_data
from boxloop.detector.evaluate import use_evaluator
from boxloop.detector.inputs import Inputs, build_inputs
from boxloop.detector.losses import loss_curve
from boxloop.detector.strategy import Runner, agreed, build_strategy
from boxloop.detector.watch import Watch, explained, guard_loss
from boxloop.settings import Experiment
from boxloop.train_settings import TrainConfig

log = logging.getLogger(__name__)


class Data(NamedTuple):
    """What a round trains on."""

    train: Sequence[Path]
    """TFRecord shards."""
    validation: Sequence[Path]
    """TFRecord shards to evaluate on meanwhile, with train.evaluate_every."""
    class_names: Sequence[str]
    class_counts: Sequence[int]
    """Training images that show each class."""


def train(
    experiment: Experiment,
    data: Data,
    *,
    model_dir: Path,
    weights_dir: Path,
    previous_dir: Path | None,
    seed: int,
    is_stopped: threading.Event,
    on_checkpoint: Callable[[], None],
    on_ready: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Train for `experiment.train.total_steps` in all, counting those a killed task has made.

    Args:
        experiment: model and schedule.
        data: what to train on.
        model_dir: gets checkpoints and TensorBoard events; the newest checkpoint is resumed.
        weights_dir: gets the trained detector, in the end.
        previous_dir: the `weights_dir` of the round before; None: there is none.
        seed: of initial weights, order and augmentation.
        is_stopped: set by who wants the training to save and end.
        on_checkpoint: called after each checkpoint.
        on_ready: called when all hosts that train together have met, before anything is read.

    Returns:
        {"steps": int, "loss_curve": [[step, loss], ...] of at most 100 points}, the same however
        often the training was killed and resumed.

    Raises:
        FloatingPointError: if the loss is no finite number, or has run away.
        MemoryError: if a batch does not fit into the device's memory.
        SystemExit: with code STOPPED, once it is saved, if it was to end.
    """
    config = build_config(experiment, len(data.class_names))
    forget_unlisted(model_dir)
    with explained(experiment.train, data.train):
        training = _Training(
            experiment=experiment,
            config=config,
            data=data,
            strategy=build_strategy(config.runtime, experiment.train),
            model_dir=model_dir,
            previous_dir=previous_dir,
            seed=seed,
            on_checkpoint=on_checkpoint,
            is_stopped=is_stopped,
        )
        training.run(weights_dir, on_ready)
    return {"steps": experiment.train.total_steps, "loss_curve": loss_curve(model_dir / "train")}


def last_step(model_dir: Path) -> int:
    """Return the step of the newest checkpoint in a folder, 0 where there is none."""
    checkpoint = tf.train.latest_checkpoint(str(model_dir))
    if checkpoint is None:
        return 0
    step = tf.train.load_checkpoint(checkpoint).get_tensor("global_step/.ATTRIBUTES/VARIABLE_VALUE")
    return int(step)


def forget_unlisted(model_dir: Path) -> None:
    """Delete what a process that died left of checkpoints: all that the newest state does not name.

    TensorFlow's CheckpointManager deletes those alone that it knows of.
    """
    state = tf.train.get_checkpoint_state(str(model_dir))
    named = {Path(path).name for path in state.all_model_checkpoint_paths} if state else set()
    for path in model_dir.glob("ckpt-*"):
        if path.name.partition(".")[0] not in named:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class _Leg(NamedTuple):
    """A part of the training with the same variables to train."""

    start: int
    end: int
    is_frozen: bool


def _legs(train: TrainConfig, done: int) -> list[_Leg]:
    """Return the parts that are left, the last one even if it is done."""
    bounds = sorted({0, train.frozen_steps, train.total_steps})
    legs = [
        _Leg(start, end, is_frozen=start < train.frozen_steps)
        for start, end in itertools.pairwise(bounds)
    ]
    return [leg for leg in legs if leg.end > done] or legs[-1:]


@dataclass(frozen=True, kw_only=True)
class _Training:
    experiment: Experiment
    config: Any
    data: Data
    strategy: tf.distribute.Strategy
    model_dir: Path
    previous_dir: Path | None
    seed: int
    on_checkpoint: Callable[[], None]
    is_stopped: threading.Event

    def run(self, weights_dir: Path, on_ready: Callable[[], None] | None) -> None:
        """Train what is left, and write the detector that all was for."""
        if on_ready is not None:
            on_ready()
        if self.experiment.train.evaluate_every is not None and not self.data.validation:
            log.warning("The validation split is empty: nothing to evaluate on while training")
        for leg in _legs(self.experiment.train, last_step(self.model_dir)):
            runner = self._run_leg(leg)
        self._write_result(runner.trainer, weights_dir)

    def _run_leg(self, leg: _Leg) -> train_lib.OrbitExperimentRunner:
        """Train one leg to its end; return its runner."""
        train = self.experiment.train
        runner = self._build_runner(leg)
        controller = runner.controller
        should_stop = agreed(self.strategy, self.is_stopped)
        watch = Watch(runner, train, on_checkpoint=self.on_checkpoint, should_stop=should_stop)
        controller.train_actions = (*controller.train_actions, watch)
        if step := watch.step:
            log.info("Resuming at step %d of %d", step, train.total_steps)
        every = self._every or train.total_steps
        if step and (step % every == 0 or step == leg.end):
            self._evaluate(controller)  # the attempt before may not have come to it
        while step < leg.end:
            step = min(leg.end, (step // every + 1) * every)
            controller.train(steps=step, checkpoint_at_completion=step == leg.end)
            self._evaluate(controller)
            watch.restart()
        self.on_checkpoint()
        return runner

    def _write_result(self, trainer: Any, folder: Path) -> None:
        """Write the best, the averaged or the last weights."""
        best = tf.train.latest_checkpoint(str(self.model_dir / BEST))
        with self.strategy.scope():
            if self.experiment.train.keep == BEST and best is not None:
                weights.read(trainer.model, Path(best))
            elif isinstance(trainer.optimizer, optimization.ExponentialMovingAverage):
                trainer.optimizer.swap_weights()
            weights.save(trainer.model, folder)

    @property
    def _every(self) -> int | None:
        """Steps between evaluations, None where there are none."""
        return self.experiment.train.evaluate_every if self.data.validation else None

    def _evaluate(self, controller: Any) -> None:
        if self._every is not None:
            with self.strategy.scope():  # moving averages are swapped in for the time being
                controller.evaluate(steps=-1)

    def _build_runner(self, leg: _Leg) -> train_lib.OrbitExperimentRunner:
        """Return Model Garden's runner, its model restored or new."""
        tf_keras.utils.set_random_seed(self.seed)  # each leg, so that one resumed is the same
        train = self.experiment.train
        self.config.task.freeze_backbone = leg.is_frozen
        set_training_data(self.config, self.data.train, train=train, seed=self.seed)
        if self._every is not None:
            set_evaluation_data(self.config, self.data.validation, batch_size=train.batch_size)
        task = self._build_task(skip=max(last_step(self.model_dir), leg.start))
        mode = "train" if self._every is None else "train_and_eval"
        runner = Runner(self.strategy, task, mode, self.config, str(self.model_dir))
        if self._every is not None:
            use_evaluator(task, self.data.class_names)
            runner.controller.eval_actions = ()  # Model Garden's would keep averages once more
        with self.strategy.scope():
            _start_averages(runner.trainer, leg)
        return runner

    def _build_task(self, skip: int) -> Any:
        """Return Model Garden's task with our inputs, targets and first weights."""
        task = task_factory.get_task(self.config.task, logging_dir=str(self.model_dir))
        inputs = Inputs(
            config=self.experiment.train,
            class_counts=self.data.class_counts,
            seed=self.seed,
            skip=skip,
        )
        is_rcnn = isinstance(task.task_config, maskrcnn.MaskRCNNTask)
        task.build_inputs = partial(build_inputs, task.build_inputs, inputs, is_rcnn=is_rcnn)
        if is_rcnn:
            first, second = task._build_rpn_losses, task._build_frcnn_losses
            task._build_rpn_losses = partial(targets.rpn_losses, first)
            task._build_frcnn_losses = partial(targets.rcnn_losses, second, inputs.k)
        task.initialize = partial(
            weights.restore,
            config=self.experiment.model,
            start=self.experiment.train.start,
            previous=self.previous_dir,
            build=self._build_model,
        )
        guard_loss(task)
        return task

    def _build_model(self, num_classes: int) -> Any:
        """Return the same model for another number of classes, the background included."""
        config = build_config(self.experiment, num_classes - 1)
        return task_factory.get_task(config.task).build_model()


def _start_averages(trainer: Any, leg: _Leg) -> None:
    """Start the moving averages of newly trained variables at their values, not at zero."""
    is_new = int(trainer.global_step.numpy()) == leg.start
    if not is_new or not isinstance(trainer.optimizer, optimization.ExponentialMovingAverage):
        return
    newly_trained = trainer.model if leg.start == 0 else trainer.model.backbone
    for variable in newly_trained.trainable_variables:
        trainer.optimizer.get_slot(variable, "average").assign(variable)
