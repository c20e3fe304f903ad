"""Where the rounds of a DAG run lie: as its first task has said, never as a client says.

Who triggers a run chooses its artifact root. So only runs below a root that this server was told
of are served, and of their images only those below the location of the run's data.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from airflow.models.xcom import XComModel
from fastapi import HTTPException, status
from sqlalchemy.orm import Session

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.experiment import default_root

PLAN_TASK = "plan_rounds"
ROOTS = "BOXLOOP_REVIEW_ROOTS"
"""Environment variable: further artifact roots that are served, with spaces between them."""


class Round(NamedTuple):
    """A round of a DAG run."""

    run: Run
    number: int
    map_index: int
    """Of its task instances."""


def asked_rounds(session: Session, dag_id: str, run_id: str) -> list[Round]:
    """Return the rounds of a DAG run that people are asked about."""
    rounds = _served(session, dag_id, run_id)
    return [each for each in rounds if storage.exists(each.run.queue(each.number))]


def find_round(session: Session, dag_id: str, run_id: str, number: int) -> Round:
    """Return a round that people are asked about.

    Raises:
        HTTPException: 404, if the run has no such round, or nobody is asked in it.
    """
    for each in _served(session, dag_id, run_id):
        if each.number == number and storage.exists(each.run.queue(number)):
            return each
    raise HTTPException(status.HTTP_404_NOT_FOUND, f"round {number} of {run_id} has no review")


def is_elsewhere(session: Session, dag_id: str, run_id: str) -> bool:
    """Whether a run lies where this server does not look."""
    return _rounds(session, dag_id, run_id) != _served(session, dag_id, run_id)


def is_below(uri: str, folder_uri: str) -> bool:
    """Whether an object lies in a folder, whatever links lead to it or dots are in its path."""
    where = storage.absolute(uri)
    if storage.is_remote(where) and not {".", ".."}.isdisjoint(where.split("/")):
        return False
    return where.startswith(storage.absolute(folder_uri).rstrip("/") + "/")


def _served(session: Session, dag_id: str, run_id: str) -> list[Round]:
    roots = [default_root(), *os.environ.get(ROOTS, "").split()]
    rounds = _rounds(session, dag_id, run_id)
    return [each for each in rounds if any(is_below(each.run.uri, root) for root in roots)]


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
