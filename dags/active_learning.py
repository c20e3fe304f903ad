"""### Active learning: one run is one experiment.

Round by round the detector boxes more of your images itself. Each round **trains** on all boxes so
far, **predicts** on the images without boxes, keeps the detections whose class is the one the image
is known to show, and **merges** them into the training set of the next round.

- **Trigger it** with the form: every field left empty is as the experiment file has it.
- **Watch it**: Grid -> `round` -> a task lists the rounds; a task instance has its log, its
  duration and, under *Storage*, its live progress. The time of a `gate` is time spent waiting.
- **If a task fails**: mend the cause and clear the failed tasks; the rounds after it follow. What
  is finished is never done twice.
- **A training that dies** is taken up again: the job goes on without its task, a new one from its
  newest checkpoint. What a cleared `train` does, the form's field *Cleared training* says.
- **If the experiment asks people** (`oracle.by`: human or both), `match_labels` waits for them,
  holding no slot: the tab **Review** of the run has the images, *Required Actions* the request.
- **To redo rounds from a given one**, run `boxloop rollback RUN --round N`, then clear all tasks of
  those rounds together with `report`.
- **To go on after the last round**, trigger it again with the same experiment id and more rounds:
  what is finished stays.

The result is `report/index.html` below `<artifact root>/experiments/<experiment id>/`.
"""

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
    dag,
    task,
    task_group,
)

from boxloop_airflow.child_task import ChildTaskOperator
from boxloop_airflow.form import PARAMS, plan_arguments
from boxloop_airflow.gate import RoundGate
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


@task
def plan_rounds(**context: Any) -> list[dict[str, Any]]:
    """Check all settings and the data, and return one spec a round."""
    from boxloop import steps

    return steps.plan_rounds(**plan_arguments(context["params"], context["run_id"]))


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


@dag(
    schedule=None,
    max_active_runs=1,  # two experiments would share one GPU, and neither would be the faster
    params=PARAMS,
    tags=["boxloop", "active learning"],
    doc_md=__doc__,
    default_args={
        "owner": "boxloop",
        "retries": 2,
        "retry_delay": timedelta(seconds=15),
        "retry_policy": WRONG_INPUT,
    },
)
def active_learning() -> None:
    """Wire the rounds of one experiment."""
    rounds: Any = plan_rounds()
    one_round.expand(spec=rounds) >> report(rounds)


active_learning()
