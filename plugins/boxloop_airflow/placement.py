"""Which workers run a task: a choice of the deployment, read where DAG files are parsed.

$BOXLOOP_GPU_TASKS names the steps that want a GPU, such as `train` or `train,predict`. Their tasks
go to the queue "gpu" of Celery's or Edge's workers; where $BOXLOOP_GPU_POD names a pod template,
Kubernetes' executor makes their pods from it. $BOXLOOP_GPU_EXECUTOR names the executor for them,
where Airflow has several. Without the first setting all tasks go to the same workers.
"""

from __future__ import annotations

import os
from typing import Any

GPU_TASKS = "BOXLOOP_GPU_TASKS"
GPU_POD = "BOXLOOP_GPU_POD"
GPU_EXECUTOR = "BOXLOOP_GPU_EXECUTOR"
GPU_QUEUE = "gpu"
STEPS = ("train", "export", "evaluate", "predict")
"""What loads TensorFlow, and so may want a GPU."""


def placement(step: str) -> dict[str, Any]:
    """Return the arguments of an operator that bring a step to the workers that it wants.

    Raises:
        ValueError: if $BOXLOOP_GPU_TASKS names a step that there is not.
    """
    if step not in gpu_tasks():
        return {}
    template = os.environ.get(GPU_POD)
    pod = {"executor_config": {"pod_template_file": template}} if template else {}
    executor = os.environ.get(GPU_EXECUTOR)
    return {"queue": GPU_QUEUE, **pod, **({"executor": executor} if executor else {})}


def gpu_tasks() -> list[str]:
    """Return the steps that want a GPU.

    Raises:
        ValueError: if $BOXLOOP_GPU_TASKS names a step that there is not.
    """
    named = [name.strip() for name in os.environ.get(GPU_TASKS, "").split(",") if name.strip()]
    if unknown := sorted(set(named) - set(STEPS)):
        raise ValueError(f"{GPU_TASKS} may name {', '.join(STEPS)}, got {unknown[0]!r}")
    return named
