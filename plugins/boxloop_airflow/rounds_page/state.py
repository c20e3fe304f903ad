"""What the page of a run is told, in one answer."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.models.dagrun import DagRun
from fastapi import HTTPException, status
from sqlalchemy import select
from sqlalchemy.orm import Session

from boxloop import storage
from boxloop.artifacts import Run
from boxloop_airflow import tensorboard
from boxloop_airflow.pages.runs import PLAN_TASK, Round, is_served, planned_rounds
from boxloop_airflow.rounds_page import figures, matrix
from boxloop_airflow.rounds_page.kept import kept
from boxloop_airflow.rounds_page.matrix import GROUP, PREDICT, TRAIN, Instance
from boxloop_airflow.rounds_page.rerun import unfinished_round

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0
"""How long it is kept whether there is a report."""


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
    run, told = _run(found), matrix.read_progress(session, dag_id, run_id, instances)
    session.commit()  # storage may be slow; no connection to the database is held meanwhile
    return {
        "run": run,
        "rounds": len(rounds),
        "is_experiment": any(each.task_id == PLAN_TASK for each in instances),
        "rows": rows,
        "singles": matrix.build_singles(instances),
        "times": matrix.time_rows(rows, len(rounds)),
        "progress": _progress(told, rounds),
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
    nothing |= {"tensorboard": "", "unfinished": None, "unreadable": "", "is_elsewhere": False}
    if not rounds:
        return nothing
    run = rounds[0].run
    if not is_served(run):
        return {**nothing, "is_elsewhere": True}
    nothing["has_review"] = any(each.asked for each in instances)
    nothing["tensorboard"] = tensorboard.tensorboard_url(run.uri)
    return (
        nothing
        | _if_readable(_links, run, instances)
        | _if_readable(
            _figures, run, figures.round_ends(instances, len(rounds)), len(rounds), known
        )
    )


def _if_readable(read: Callable[..., dict[str, Any]], run: Run, *rest: Any) -> dict[str, Any]:
    """Return what can be read, or why it cannot: the tasks are shown whatever storage does."""
    try:
        return read(run, *rest)
    except Exception as error:
        log.exception("What %s holds cannot be shown", run.uri)
        return {"unreadable": in_words(error)}


def in_words(error: Exception) -> str:
    """Return why artifacts cannot be read, in words for people."""
    if isinstance(error, (OSError, ValueError)) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _links(run: Run, instances: Sequence[Instance]) -> dict[str, Any]:
    return {
        "has_report": _has_ended(instances, "report") and has_report(run),
        "unfinished": unfinished_round(run),
    }


def _figures(run: Run, ends: tuple[figures.Ends, ...], planned: int, known: str) -> dict[str, Any]:
    key = (run, ends, planned, figures.settings_digest(run))
    stamp = figures.stamp(*key)
    return {"figures": None if stamp == known else figures.figures(*key), "stamp": stamp}


@kept(REPORT_SECONDS)
def has_report(run: Run) -> bool:
    """Whether there is a report."""
    return storage.exists(run.report)


def _has_ended(instances: Sequence[Instance], task_id: str) -> bool:
    return any(each.task_id == task_id and each.state == "success" for each in instances)


def _progress(
    told: Mapping[tuple[str, int], dict[str, Any]], rounds: Sequence[Round]
) -> list[dict[str, Any]]:
    """Return how far the running tasks are, with the seconds that are left."""
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
    try:
        experiment = figures.read_settings(rounds[0].run)
    except Exception as error:
        log.warning("The settings of %s cannot be read: %s", rounds[0].run.uri, error)
        return None
    return experiment.train.batch_size if experiment else None


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) and math.isfinite(value) else None
