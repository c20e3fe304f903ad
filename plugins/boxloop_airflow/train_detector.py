"""The GPU task of a round."""

from __future__ import annotations

from typing import Any

from boxloop_airflow.child_task import ChildTaskOperator

GPU_POOL = "gpu"


class TrainDetectorOperator(ChildTaskOperator):
    """Train the detector of a round in a child process, one slot of the pool "gpu".

    The trainer looks for its own checkpoints where the round's artifacts are: a retry goes on
    from the last one, whatever ended the attempt before, and a task that was done is not redone.

    Args:
        spec: the round, {"run_uri": ..., "round_number": ...}. (templated)
    """

    ui_color = "#fde8d0"

    def __init__(self, *, spec: Any, pool: str = GPU_POOL, **kwargs: Any) -> None:
        super().__init__(step="train", spec=spec, pool=pool, **kwargs)
