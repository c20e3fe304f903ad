"""Do rounds anew: undo what they left, then clear their tasks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.state import DagRunState
from fastapi import HTTPException, status
from sqlalchemy import select
from sqlalchemy.orm import Session

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.rollback import rollback, started_rounds, unfinished_rollback
from boxloop_airflow.pages.runs import Round
from boxloop_airflow.rounds_page.matrix import FIRST, GROUP

IDLE = frozenset({None, "success", "failed", "skipped", "upstream_failed", "removed"})
"""States of tasks that have nothing to do with what is being moved."""
_RERUNNING = threading.Lock()


def rerun(
    session: Session, dag_id: str, run_id: str, rounds: Sequence[Round], first: int
) -> dict[str, Any]:
    """Undo a round and those after it, and clear their tasks and all that follow on the rounds.

    Given again after it was cut off, it finishes.

    Args:
        session: of Airflow's database.
        dag_id: the DAG.
        run_id: its run.
        rounds: all that are planned.
        first: the first round to do anew.

    Returns:
        `rounds`: those that were undone; `kept_in`: where they are now, None if nothing was there;
        `cleared`: how many tasks will run again.

    Raises:
        HTTPException: 404 if there is no such round; 409 while one of the tasks is at work, or
            another rerun is to be finished first.
    """
    if first not in {each.number for each in rounds}:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no round {first} is planned")
    indexes = {each.map_index for each in rounds if each.number >= first}
    with _RERUNNING:
        _check_idle(_find(session, dag_id, run_id, indexes))
        session.commit()  # moving may take minutes; nothing is held meanwhile
        undone = _undo(rounds[0].run, first)
        found = _find(session, dag_id, run_id, indexes)
        _check_idle(found)
        cleared = [each for each in found if each.state not in (None, "removed")]
        clear_task_instances(cleared, session, DagRunState.QUEUED, prevent_running_task=True)
        session.commit()
    return {**undone, "cleared": len(cleared)}


def unfinished_round(run: Run) -> int | None:
    """Return the round from which a rerun was begun and cut off, None where there is none.

    As `boxloop.rollback.unfinished_rollback`, but without listing all that was ever moved aside:
    only the newest can be unfinished.
    """
    folders = (f"{run.uri}/rolled_back/{number}" for number in itertools.count(1))
    there = itertools.takewhile(storage.exists, (f"{each}/rollback.json" for each in folders))
    *_, newest = [None, *there]
    journal = storage.read_json(newest) if newest else {"is_finished": True}
    return None if journal["is_finished"] else int(journal["round"])


def _undo(run: Run, first: int) -> dict[str, Any]:
    """Undo the rounds, unless that has been done; or raise the HTTPException that says why not."""
    if unfinished_rollback(run) is None and all(n < first for n in started_rounds(run)):
        return {"rounds": [], "kept_in": None}
    try:
        return rollback(run.uri, first)
    except ValueError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, str(error)) from error


def _find(session: Session, dag_id: str, run_id: str, indexes: set[int]) -> list[TaskInstance]:
    """Return the tasks of the rounds, and those that come after all rounds."""
    query = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    return [
        each
        for each in session.scalars(query.execution_options(populate_existing=True))
        if (each.map_index in indexes if each.task_id.startswith(GROUP) else True)
        and each.task_id not in FIRST
    ]


def _check_idle(found: Sequence[TaskInstance]) -> None:
    busy = sorted(_label(each) for each in found if each.state not in IDLE)
    if busy:
        more = f" and {len(busy) - 3} more" if len(busy) > 3 else ""
        problem = f"still at work: {', '.join(busy[:3])}{more}; wait, or mark the run as failed"
        raise HTTPException(status.HTTP_409_CONFLICT, problem)


def _label(each: TaskInstance) -> str:
    where = f" of round {each.map_index + 1}" if each.map_index >= 0 else ""
    return f"{each.task_id.removeprefix(GROUP)}{where} ({each.state})"
