"""A DAG of trainings alone, side by side: for tests that kill them."""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from boxloop_airflow.train_detector import TrainDetectorOperator


@task
def specs(**context: Any) -> list[dict[str, Any]]:
    """Return the rounds to train, as the test has prepared them."""
    return list(context["params"]["specs"])


@dag(schedule=None, params={"specs": Param([], type="array")})
def kills() -> None:
    """Train each round in a task of its own."""
    TrainDetectorOperator.partial(
        task_id="train", pool="default_pool", retries=4, retry_delay=timedelta(seconds=1)
    ).expand(spec=specs())


kills()
