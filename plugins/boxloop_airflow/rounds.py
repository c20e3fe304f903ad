"""The rounds of an experiment as Airflow tasks: what both DAGs are wired from."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    TriggerRule,
    chain,
    task,
    task_group,
)

from boxloop_airflow.child_task import ChildTaskOperator
from boxloop_airflow.gate import RoundGate
from boxloop_airflow.last_words import tell_failure, tell_retry
from boxloop_airflow.match_labels import MatchLabelsOperator
from boxloop_airflow.train_detector import TrainDetectorOperator

PREDICT_WORKERS = "BOXLOOP_PREDICT_WORKERS"
"""In the environment where DAGs are parsed: how many tasks share the detecting in the pool; 1, the
default, is the task `predict` alone. A mapped group cannot choose its number at run time."""
ACTIVE_RUNS = "BOXLOOP_ACTIVE_RUNS"
"""There too: how many experiments of `active_learning` may be at work at once; 1 by default."""
ROUND_LABEL = "round {{ '%02d' % (ti.map_index + 1) }}"
WRONG_INPUT = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[ValueError, FileNotFoundError, PermissionError], action=RetryAction.FAIL
        )
    ]
)
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "boxloop",
    "retries": 2,
    "retry_delay": timedelta(seconds=15),
    "retry_policy": WRONG_INPUT,
    "on_failure_callback": [tell_failure],
    "on_retry_callback": [tell_retry],
}
"""Of every task, unless it says otherwise."""


@task
def parse_annotations(spec: dict[str, Any]) -> dict[str, Any]:
    """Read the round's boxes into a dataset version."""
    from boxloop import steps

    return dict(steps.brief(steps.run_task("parse_annotations", **spec)))


@task
def write_tfrecords(spec: dict[str, Any]) -> dict[str, Any]:
    """Write what the round adds as TFRecord shards."""
    from boxloop import steps

    return dict(steps.brief(steps.run_task("write_tfrecords", **spec)))


@task
def merge(spec: dict[str, Any]) -> dict[str, Any]:
    """Add the adopted boxes to the next round's dataset, and sum the round up."""
    from boxloop import steps

    return dict(steps.brief(steps.run_task("merge", **spec)))


@task(trigger_rule=TriggerRule.NONE_FAILED)  # rounds after an early stop are skipped
def report(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the report over all rounds."""
    from boxloop import steps

    return steps.report(rounds[0]["run_uri"])


@task_group(group_id="round", default_args={"map_index_template": ROUND_LABEL})
def one_round(spec: dict[str, Any]) -> None:
    """Train, predict, adopt: exactly one first task and one last."""
    train = TrainDetectorOperator(
        task_id="train", spec=spec, resume="{{ params.resume }}", retries=4
    )
    evaluate = ChildTaskOperator(task_id="evaluate", step="evaluate", spec=spec)
    export = ChildTaskOperator(task_id="export", step="export", spec=spec)
    matched = MatchLabelsOperator(task_id="match_labels", spec=spec)
    chain(
        RoundGate(task_id="gate", spec=spec, last_task_id="round.merge", retries=3),
        parse_annotations(spec),
        write_tfrecords(spec),
        train,
        export,
        [evaluate, _predict(spec, export)],
        matched,
        merge(spec),
    )


def _predict(spec: Any, export: ChildTaskOperator) -> ChildTaskOperator:
    """Return the task that has all detections; with workers it waits for them, dead or alive."""
    count = predict_workers()
    common = {"step": "predict", "spec": spec, "workers": count}
    if count == 1:
        return ChildTaskOperator(task_id="predict", **common)
    # what no worker has done, it does: one that is lost costs time, and no round
    rule = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS
    predict = ChildTaskOperator(task_id="predict", trigger_rule=rule, **common)
    for worker in range(1, count + 1):
        share = ChildTaskOperator(task_id=f"predict_{worker:02d}", worker=worker, **common)
        chain(export, share, predict)
    return predict


def predict_workers() -> int:
    """Return how many tasks share the detecting in the pool.

    Raises:
        ValueError: if the environment says no number from 1 to 99.
    """
    return _number(PREDICT_WORKERS)


def active_runs() -> int:
    """Return how many experiments may be at work at once.

    Raises:
        ValueError: if the environment says no number from 1 to 99.
    """
    return _number(ACTIVE_RUNS)


def _number(name: str) -> int:
    text = os.environ.get(name) or "1"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 99:
        raise ValueError(f"{name} must be a number from 1 to 99, got {text!r}")
    return int(text)
