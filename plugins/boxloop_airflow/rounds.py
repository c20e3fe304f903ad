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

PREDICT_SHARDS = int(os.environ.get("BOXLOOP_PREDICT_SHARDS", "1"))
"""Parallel tasks that predict; a mapped group cannot choose its number at run time."""
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

    return steps.run_task("parse_annotations", **spec)


@task
def write_tfrecords(spec: dict[str, Any]) -> dict[str, Any]:
    """Write what the round adds as TFRecord shards."""
    from boxloop import steps

    return steps.run_task("write_tfrecords", **spec)


@task
def merge(spec: dict[str, Any]) -> dict[str, Any]:
    """Add the adopted boxes to the next round's dataset, and sum the round up."""
    from boxloop import steps

    return steps.run_task("merge", **spec)


@task(trigger_rule=TriggerRule.NONE_FAILED)  # rounds after an early stop are skipped
def report(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the report over all rounds."""
    from boxloop import steps

    return steps.report(rounds[0]["run_uri"])


@task_group(group_id="round", default_args={"map_index_template": ROUND_LABEL})
def one_round(spec: dict[str, Any]) -> None:
    """Train, predict, adopt: exactly one first task and one last."""
    shards = [
        ChildTaskOperator(
            task_id="predict" if PREDICT_SHARDS == 1 else f"predict_{shard:02d}",
            step="predict",
            spec=spec,
            shard=shard,
            num_shards=PREDICT_SHARDS,
        )
        for shard in range(PREDICT_SHARDS)
    ]
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
        [evaluate, *shards],
        matched,
        merge(spec),
    )
