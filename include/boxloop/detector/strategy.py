"""What trains: one device, those of this machine, or those of several hosts together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from official.common import distribute_utils
from official.core import train_lib
from official.modeling import performance

from boxloop import hosts
from boxloop.train_settings import MULTI_WORKER, TrainConfig


def build_strategy(runtime: Any, train: TrainConfig) -> tf.distribute.Strategy:
    """Return what the settings ask for; with several hosts, once all have met.

    Args:
        runtime: Model Garden's RuntimeConfig.
        train: the settings.

    Raises:
        ValueError: if several hosts are to train apart, or the batch cannot be dealt out evenly.
    """
    if hosts.num_hosts() > 1 and train.device.strategy != MULTI_WORKER:
        raise ValueError(
            f"{hosts.num_hosts()} hosts train together, which needs train.device.strategy "
            f"{MULTI_WORKER}, got {train.device.strategy}"
        )
    performance.set_mixed_precision_policy(runtime.mixed_precision_dtype)
    strategy = distribute_utils.get_distribution_strategy(
        distribution_strategy=runtime.distribution_strategy,
        num_gpus=runtime.num_gpus,
        tpu_address=runtime.tpu,
    )
    replicas = strategy.num_replicas_in_sync
    if train.batch_size % replicas:
        raise ValueError(
            f"train.batch_size is dealt out to {replicas} devices: it must be a multiple of "
            f"{replicas}, got {train.batch_size}"
        )
    return strategy


class Runner(train_lib.OrbitExperimentRunner):  # type: ignore[misc]
    """Model Garden's runner, which goes on from the checkpoint in its folder on every host.

    Model Garden's own gives all hosts but the chief a new folder, where there is none to go on
    from (2.20). Here each has a folder of its own anyway.
    """

    def _maybe_build_checkpoint_manager(self) -> tf.train.CheckpointManager:
        return tf.train.CheckpointManager(
            self.trainer.checkpoint,
            directory=self.model_dir,
            max_to_keep=self.params.trainer.max_to_keep,
            step_counter=self.trainer.global_step,
            checkpoint_interval=self.params.trainer.checkpoint_interval,
            init_fn=self.trainer.initialize,
        )


def agreed(strategy: tf.distribute.Strategy, is_stopped: threading.Event) -> Callable[[], bool]:
    """Return what says whether to stop; of several hosts all stop at the step where one wants to.

    To save takes all of them, so each must ask as often as the others.
    """
    if hosts.num_hosts() == 1:
        return is_stopped.is_set

    def ask() -> bool:
        wishes = strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(int(is_stopped.is_set()))
        )
        return bool(strategy.reduce(tf.distribute.ReduceOp.SUM, wishes, axis=None) > 0)

    return ask
