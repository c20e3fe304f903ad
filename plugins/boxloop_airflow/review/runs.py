"""Where the rounds of a DAG run lie: as its first task has said, never as a client says."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow.models.xcom import XComModel
from fastapi import HTTPException, status
from sqlalchemy.orm import Session

from boxloop import storage
from boxloop.artifacts import Run

PLAN_TASK = "plan_rounds"


class Round(NamedTuple):
    """A round of a DAG run."""

    run: Run
    number: int
    map_index: int
    """Of its task instances."""


def asked_rounds(session: Session, dag_id: str, run_id: str) -> list[Round]:
    """Return the rounds of a DAG run that people are asked about."""
    rounds = _rounds(session, dag_id, run_id)
    return [each for each in rounds if storage.exists(each.run.queue(each.number))]


def find_round(session: Session, dag_id: str, run_id: str, number: int) -> Round:
    """Return a round that people are asked about.

    Raises:
        HTTPException: 404, if the run has no such round, or nobody is asked in it.
    """
    for each in _rounds(session, dag_id, run_id):
        if each.number == number and storage.exists(each.run.queue(number)):
            return each
    raise HTTPException(status.HTTP_404_NOT_FOUND, f"round {number} of {run_id} has no review")


def _rounds(session: Session, dag_id: str, run_id: str) -> list[Round]:
    """Return what the run's first task planned, nothing where it has not."""
    query = XComModel.get_many(
        run_id=run_id, key="return_value", task_ids=PLAN_TASK, dag_ids=dag_id, limit=1
    )
    found = session.scalars(query).first()
    specs: Any = XComModel.deserialize_value(found) if found else []
    if not isinstance(specs, list):
        return []
    return [
        Round(Run(str(spec["run_uri"])), int(spec["round_number"]), index)
        for index, spec in enumerate(specs)
        if isinstance(spec, dict) and {"run_uri", "round_number"} <= set(spec)
    ]
