"""A DAG whose rounds share their detecting among two workers, which are not tried again."""

import os
from typing import Any

from airflow.sdk import Param, dag, task

from boxloop_airflow.rounds import DEFAULT_ARGS, PREDICT_WORKERS, one_round, report


@task
def plan(**context: Any) -> list[dict[str, Any]]:
    """Return the rounds, by what the test asks for."""
    from boxloop import steps

    return steps.plan_rounds(**context["params"]["plan"])


@dag(
    schedule=None,
    params={"plan": Param({}, type="object"), "resume": "auto"},
    default_args={**DEFAULT_ARGS, "retries": 0},
)
def workers() -> None:
    """Wire the rounds as both DAGs do."""
    rounds: Any = plan()
    before = os.environ.get(PREDICT_WORKERS)
    os.environ[PREDICT_WORKERS] = "2"
    try:
        one_round.expand(spec=rounds) >> report(rounds)
    finally:
        os.environ[PREDICT_WORKERS] = before or "1"


workers()
