"""From the settings of a run to Model Garden's: the one place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from official.core import config_definitions, exp_factory
from official.vision import configs  # noqa: F401  registers the experiments

from boxloop.settings import Experiment
from boxloop.train_settings import ModelConfig


def build_config(experiment: Experiment, num_classes: int) -> config_definitions.ExperimentConfig:
    """Return the Model Garden configuration of a detector for `num_classes` classes.

    Model Garden counts the background as a class of its own, with id 0.

    Raises:
        ValueError: if the zoo entry names an unknown experiment or setting.
    """
    config = _base_config(experiment.model)
    train = experiment.train
    config.override(
        {
            "runtime": {"distribution_strategy": "one_device", "mixed_precision_dtype": "float32"},
            "task": {
                "model": {
                    "num_classes": num_classes + 1,
                    "input_size": [*experiment.model.input_size, 3],
                },
                "init_checkpoint": None,
                "annotation_file": None,
                "freeze_backbone": train.frozen_steps == train.total_steps,
                "per_category_metrics": True,
            },
            "trainer": _trainer_settings(experiment),
        }
    )
    return config


def set_training_data(
    config: config_definitions.ExperimentConfig,
    shards: Sequence[Path],
    *,
    batch_size: int,
    seed: int,
) -> None:
    """Train on these TFRecord shards, in an order that the seed decides."""
    data = config.task.train_data
    data.input_path = [str(shard) for shard in shards]
    data.global_batch_size = batch_size
    data.dtype = "float32"
    data.shuffle_buffer_size = 1000
    data.deterministic = True
    data.seed = seed


def set_evaluation_data(
    config: config_definitions.ExperimentConfig, shards: Sequence[Path], *, batch_size: int
) -> None:
    """Evaluate on these TFRecord shards, each image once."""
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


def _trainer_settings(experiment: Experiment) -> dict[str, Any]:
    train = experiment.train
    return {
        "train_steps": train.steps,
        "steps_per_loop": min(10, train.steps),
        "summary_interval": min(10, train.steps),
        "checkpoint_interval": train.checkpoint_interval,
        "max_to_keep": 1,
        "validation_steps": -1,
        "optimizer_config": {
            "optimizer": {"type": "sgd", "sgd": {"momentum": 0.9, "global_clipnorm": 10.0}},
            "learning_rate": {
                "type": "cosine",
                "cosine": {
                    "initial_learning_rate": train.learning_rate,
                    "decay_steps": train.steps,
                },
            },
            "warmup": {
                "type": "linear",
                "linear": {"warmup_steps": train.warmup_steps, "warmup_learning_rate": 0.0},
            },
        },
    }
