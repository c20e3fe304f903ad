"""From the settings of a run to Model Garden's: the one place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from official.core import config_definitions, exp_factory
from official.vision import configs  # noqa: F401  registers the experiments

from boxloop.detector import augment
from boxloop.settings import Experiment
from boxloop.train_settings import MULTI_WORKER, DeviceConfig, ModelConfig, TrainConfig

BEST = "best"
"""Sub-folder of the checkpoint that did best on the validation split."""
STEPS_PER_LOOP = 10
"""Steps that TensorFlow takes by itself between two looks at the loss, and at a SIGTERM."""
STEP_DECAY = {0.7: 0.1, 0.9: 0.01}
"""Share of the steps to the share of the learning rate from there on; schedule: step."""


def build_config(experiment: Experiment, num_classes: int) -> config_definitions.ExperimentConfig:
    """Return the Model Garden configuration of a detector for `num_classes` classes.

    Model Garden counts the background as a class of its own, with id 0.

    Raises:
        ValueError: if the zoo entry names an unknown experiment or setting.
    """
    config = _base_config(experiment.model)
    config.override(
        {
            "runtime": _runtime(experiment.train.device),
            "task": {
                "model": {
                    "num_classes": num_classes + 1,
                    "input_size": [*experiment.model.input_size, 3],
                },
                "init_checkpoint": None,
                "annotation_file": None,
                "per_category_metrics": True,
            },
            "trainer": _trainer_settings(experiment.train),
        }
    )
    return config


def set_training_data(
    config: config_definitions.ExperimentConfig,
    shards: Sequence[Path],
    *,
    train: TrainConfig,
    seed: int,
) -> None:
    """Train on these TFRecord shards, in an order that the seed decides."""
    data = config.task.train_data
    data.input_path = [str(shard) for shard in shards]
    data.global_batch_size = train.batch_size
    data.dtype = "float32"
    data.shuffle_buffer_size = 1000
    data.deterministic = True
    data.seed = seed
    data.parser.override(augment.parser_overrides(train.augment))


def set_evaluation_data(
    config: config_definitions.ExperimentConfig, shards: Sequence[Path], *, batch_size: int
) -> None:
    """Evaluate on these TFRecord shards, each image once, with the weights as they are."""
    data = config.task.validation_data
    data.input_path = [str(shard) for shard in shards]
    data.global_batch_size = batch_size
    data.dtype = "float32"
    data.drop_remainder = False
    data.deterministic = True


def _base_config(model: ModelConfig) -> config_definitions.ExperimentConfig:
    try:
        config = exp_factory.get_exp_config(model.experiment)
        config.override(model.overrides, is_strict=True)
    except (LookupError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"model {model.name}: Model Garden refuses it: {error}") from error
    return config


def _runtime(device: DeviceConfig) -> dict[str, Any]:
    num_gpus = len(tf.config.list_physical_devices("GPU"))
    strategy = "multi_worker_mirrored" if device.strategy == MULTI_WORKER else device.strategy
    return {
        "distribution_strategy": strategy,
        "mixed_precision_dtype": device.precision.removeprefix("mixed_"),
        "loss_scale": "dynamic" if device.precision == "mixed_float16" else None,
        "num_gpus": min(num_gpus, 1) if strategy == "one_device" else num_gpus,
        "enable_xla": device.xla,
        "tpu": device.tpu,
    }


def _trainer_settings(train: TrainConfig) -> dict[str, Any]:
    steps = train.total_steps
    return {
        "train_steps": steps,
        "steps_per_loop": min(STEPS_PER_LOOP, steps),
        "summary_interval": min(STEPS_PER_LOOP, steps),
        "checkpoint_interval": train.checkpoint_interval,
        "max_to_keep": 1,
        "recovery_max_trials": -1,  # boxloop/detector/watch.py looks after the loss
        "preemption_on_demand_checkpoint": False,  # and after SIGTERM, on one host or several
        "best_checkpoint_export_subdir": BEST if train.keep == BEST else "",
        "best_checkpoint_eval_metric": "AP50",
        "best_checkpoint_metric_comp": "higher",
        "optimizer_config": {
            "optimizer": {
                "type": "sgd",
                "sgd": {"momentum": 0.9, "global_clipnorm": train.clip_norm or None},
            },
            "ema": {"average_decay": train.ema} if train.ema else None,
            "learning_rate": _schedule(train),
            "warmup": {
                "type": "linear",
                "linear": {"warmup_steps": train.warmup_steps, "warmup_learning_rate": 0.0},
            },
        },
    }


def _schedule(train: TrainConfig) -> dict[str, Any]:
    peak, steps = train.learning_rate, train.total_steps
    if train.schedule == "cosine":
        cosine = {"initial_learning_rate": peak, "decay_steps": steps}
        return {"type": "cosine", "cosine": cosine}
    boundaries = [round(share * steps) for share in STEP_DECAY]
    values = [peak, *(peak * share for share in STEP_DECAY.values())]
    return {"type": "stepwise", "stepwise": {"boundaries": boundaries, "values": values}}
