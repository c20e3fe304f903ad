"""Where the rounds of a DAG run lie: as its first task has said, never as a client says.

Who triggers a run chooses its artifact root. So only runs below a root that this server was told
of are served, and of their images only those below the location of the run's data.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from boxloop.artifacts import Run
from boxloop.borders import is_below
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


def planned_rounds(session: Session, dag_id: str, run_id: str) -> list[Round]:
    """Return what the run's first task planned, nothing where it has not."""
    query = XComModel.get_many(
        run_id=run_id, key="return_value", task_ids=PLAN_TASK, dag_ids=dag_id, limit=1
    )
    found = session.scalars(query).first()
    return parse_plan(XComModel.deserialize_value(found)) if found else []


def parse_plan(specs: Any) -> list[Round]:
    """Return the rounds of a plan; nothing of what is none."""
    if not isinstance(specs, list):
        return []
    return [
        Round(Run(str(spec["run_uri"])), int(spec["round_number"]), index)
        for index, spec in enumerate(specs)
        if isinstance(spec, dict) and {"run_uri", "round_number"} <= set(spec)
    ]


def served_rounds(session: Session, dag_id: str, run_id: str) -> list[Round]:
    """Return the planned rounds that lie where this server looks."""
    return [each for each in planned_rounds(session, dag_id, run_id) if is_served(each.run)]


def is_served(run: Run) -> bool:
    """Whether a run lies below a root that this server was told of."""
    roots = [default_root(), *os.environ.get(ROOTS, "").split()]
    return any(is_below(run.uri, root) for root in roots)


def is_elsewhere(session: Session, dag_id: str, run_id: str) -> bool:
    """Whether a run lies where this server does not look."""
    rounds = planned_rounds(session, dag_id, run_id)
    return any(not is_served(each.run) for each in rounds)
