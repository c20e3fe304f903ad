"""The rounds of a DAG run in which people are asked."""

from __future__ import annotations

from fastapi import HTTPException, status
from sqlalchemy.orm import Session

from boxloop import storage
from boxloop_airflow.pages.runs import Round, served_rounds


def asked_rounds(session: Session, dag_id: str, run_id: str) -> list[Round]:
    """Return the rounds of a DAG run that people are asked about."""
    rounds = served_rounds(session, dag_id, run_id)
    return [each for each in rounds if storage.exists(each.run.queue(each.number))]


def find_round(session: Session, dag_id: str, run_id: str, number: int) -> Round:
    """Return a round that people are asked about.

    Raises:
        HTTPException: 404, if the run has no such round, or nobody is asked in it.
    """
    for each in served_rounds(session, dag_id, run_id):
        if each.number == number and storage.exists(each.run.queue(number)):
            return each
    raise HTTPException(status.HTTP_404_NOT_FOUND, f"round {number} of {run_id} has no review")
