"""All experiments: the runs of the DAGs that are tagged as Boxloop's."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from airflow.models.dag import DagTag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.orm import Session

from boxloop_airflow.pages.runs import PLAN_TASK, parse_plan
from boxloop_airflow.rounds_page.matrix import GROUP

TAG = "boxloop"
MOST = 200

Key = tuple[str, str]
"""DAG id and run id."""


def tagged_dags(session: Session) -> list[str]:
    """Return the ids of the DAGs that hold experiments."""
    return sorted(session.scalars(select(DagTag.dag_id).where(DagTag.name == TAG)))


def list_experiments(session: Session, dag_ids: Collection[str]) -> dict[str, Any]:
    """Return the newest runs of some DAGs.

    Returns:
        experiments: dag_id, run_id, state, start and end in Unix seconds, rounds, done (rounds
        that are closed), map50 of the last evaluated round; is_all: whether there are no more.
    """
    query = select(DagRun).where(DagRun.dag_id.in_(dag_ids)).order_by(DagRun.run_after.desc())
    runs = session.scalars(query.limit(MOST + 1)).all()
    keys = [(run.dag_id, run.run_id) for run in runs[:MOST]]
    planned, done, means = _planned(session, keys), _done(session, keys), _means(session, keys)
    return {
        "experiments": [
            {
                "dag_id": run.dag_id,
                "run_id": run.run_id,
                "state": str(run.state),
                "start": _unix(run.start_date or run.run_after),
                "end": _unix(run.end_date),
                "rounds": planned.get(key),
                "done": done.get(key, 0),
                "map50": means.get(key),
            }
            for key, run in zip(keys, runs, strict=False)
        ],
        "is_all": len(runs) <= MOST,
    }


def _planned(session: Session, keys: Sequence[Key]) -> dict[Key, int]:
    query = select(XComModel.dag_id, XComModel.run_id, XComModel.value).where(
        tuple_(XComModel.dag_id, XComModel.run_id).in_(keys),
        XComModel.task_id == PLAN_TASK,
        XComModel.key == "return_value",
    )
    rows = session.execute(query)
    return {(row[0], row[1]): len(parse_plan(XComModel.deserialize_value(row))) for row in rows}


def _done(session: Session, keys: Sequence[Key]) -> dict[Key, int]:
    query = _successes(keys, "merge", func.count())
    return {(dag, run): int(count) for dag, run, count in session.execute(query)}


def _means(session: Session, keys: Sequence[Key]) -> dict[Key, float | None]:
    last = _successes(keys, "evaluate", func.max(TaskInstance.map_index).label("last")).subquery()
    query = select(XComModel.dag_id, XComModel.run_id, XComModel.value).join(
        last,
        and_(
            XComModel.dag_id == last.c.dag_id,
            XComModel.run_id == last.c.run_id,
            XComModel.map_index == last.c.last,
            XComModel.task_id == f"{GROUP}evaluate",
            XComModel.key == "return_value",
        ),
    )
    rows = session.execute(query)
    return {(row[0], row[1]): _mean(XComModel.deserialize_value(row)) for row in rows}


def _mean(value: Any) -> float | None:
    found = value.get("map50") if isinstance(value, dict) else None
    return found if isinstance(found, float) and math.isfinite(found) else None


def _successes(keys: Sequence[Key], task: str, figure: Any) -> Any:
    """Return the query for a figure over the rounds in which a task has succeeded."""
    return (
        select(TaskInstance.dag_id, TaskInstance.run_id, figure)
        .where(
            tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(keys),
            TaskInstance.task_id == f"{GROUP}{task}",
            TaskInstance.state == "success",
        )
        .group_by(TaskInstance.dag_id, TaskInstance.run_id)
    )


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else round(moment.timestamp(), 1)
