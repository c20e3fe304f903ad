"""What the page of a run is told, in one answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from airflow.models.dagrun import DagRun
from fastapi import HTTPException, status
from sqlalchemy import select
from sqlalchemy.orm import Session

from boxloop import storage
from boxloop_airflow import tensorboard
from boxloop_airflow.pages.runs import PLAN_TASK, Round, is_served, planned_rounds
from boxloop_airflow.rounds_page import figures, matrix
from boxloop_airflow.rounds_page.matrix import GROUP, PREDICT, TRAIN, Instance
from boxloop_airflow.rounds_page.rerun import unfinished_round


def describe(session: Session, dag_id: str, run_id: str, known: str) -> dict[str, Any]:
    """Return all that the page shows of a DAG run.

    Args:
        session: of Airflow's database.
        dag_id: the DAG.
        run_id: its run.
        known: stamp of the figures that the page has; the same are not told again.

    Raises:
        HTTPException: 404, if there is no such run.
    """
    found = session.scalars(
        select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    ).first()
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "there is no such run")
    instances = matrix.read_instances(session, dag_id, run_id)
    rounds = planned_rounds(session, dag_id, run_id)
    rows = matrix.build_rows(instances, len(rounds))
    return {
        "run": _run(found),
        "rounds": len(rounds),
        "is_experiment": any(each.task_id == PLAN_TASK for each in instances),
        "rows": rows,
        "singles": matrix.build_singles(instances),
        "times": matrix.time_rows(rows, len(rounds)),
        "progress": _progress(session, dag_id, run_id, instances, rounds),
        **_of_artifacts(rounds, instances, known),
    }


def _run(found: DagRun) -> dict[str, Any]:
    start, end = found.start_date, found.end_date
    return {
        "state": str(found.state),
        "start": start.timestamp() if start else None,
        "end": end.timestamp() if end else None,
    }


def _of_artifacts(
    rounds: Sequence[Round], instances: Sequence[Instance], known: str
) -> dict[str, Any]:
    """Return what lies in the run's folder, if this server looks there."""
    nothing = {"figures": None, "stamp": "", "has_report": False, "has_review": False}
    nothing |= {"tensorboard": "", "unfinished": None}
    if not rounds:
        return {**nothing, "is_elsewhere": False}
    run = rounds[0].run
    if not is_served(run):
        return {**nothing, "is_elsewhere": True}
    settings = storage.digest(run.experiment) if storage.exists(run.experiment) else ""
    key = (run, figures.round_ends(instances, len(rounds)), len(rounds), settings)
    stamp = figures.stamp(*key)
    return {
        "is_elsewhere": False,
        "figures": None if stamp == known else figures.figures(*key),
        "stamp": stamp,
        "has_report": _has_ended(instances, "report") and storage.exists(run.report),
        "has_review": any(each.asked for each in instances),
        "tensorboard": tensorboard.tensorboard_url(run.uri),
        "unfinished": unfinished_round(run),
    }


def _has_ended(instances: Sequence[Instance], task_id: str) -> bool:
    return any(each.task_id == task_id and each.state == "success" for each in instances)


def _progress(
    session: Session,
    dag_id: str,
    run_id: str,
    instances: Sequence[Instance],
    rounds: Sequence[Round],
) -> list[dict[str, Any]]:
    """Return how far the running tasks are, with the seconds that are left."""
    told = matrix.read_progress(session, dag_id, run_id, instances)
    batch = _batch_size(rounds) if told else None
    return [
        {
            "name": task.removeprefix(GROUP),
            "round": index + 1,
            **{key: _number(value.get(key)) for key in ("step", "steps", "loss")},
            "rate": _number(value.get("images_per_second")),
            "left": _seconds_left(task.removeprefix(GROUP), value, batch),
        }
        for (task, index), value in sorted(told.items())
    ]


def _seconds_left(name: str, told: dict[str, Any], batch: int | None) -> float | None:
    """Return how long a task goes on at its present speed: steps of a batch, or images."""
    step, steps, rate = (_number(told.get(key)) for key in ("step", "steps", "images_per_second"))
    images = batch if name == TRAIN else 1
    if step is None or steps is None or not rate or images is None:
        return None
    if name != TRAIN and not name.startswith(PREDICT):
        return None
    return round(max(steps - step, 0) * images / rate, 1)


def _batch_size(rounds: Sequence[Round]) -> int | None:
    if not rounds or not is_served(rounds[0].run):
        return None
    experiment = figures.read_settings(rounds[0].run)
    return experiment.train.batch_size if experiment else None


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) and math.isfinite(value) else None
