"""Do rounds anew: undo what they left, then clear their tasks."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.models.xcom import XComModel
from airflow.utils.state import DagRunState
from fastapi import HTTPException, status
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.rollback import rollback, started_rounds, unfinished_rollback
from boxloop_airflow.pages.runs import PLAN_TASK, Round, parse_plan
from boxloop_airflow.rounds_page.experiments import Key
from boxloop_airflow.rounds_page.kept import kept
from boxloop_airflow.rounds_page.matrix import FIRST, GROUP

IDLE = frozenset({None, "success", "failed", "skipped", "upstream_failed", "removed"})
"""States of tasks that have nothing to do with what is being moved."""
ENDING_SECONDS = 30.0
"""How long after its last sign of life a task may still write, though its state was set."""
UNFINISHED_SECONDS = 30.0
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
        HTTPException: 404 if there is no such round; 409 while one of the tasks is at work, another
            DAG run works on the same experiment or has gone further, or another rerun goes on or
            is to be finished first.
    """
    if first not in {each.number for each in rounds}:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no round {first} is planned")
    if not _RERUNNING.acquire(blocking=False):
        raise _conflict("another rerun is under way; try again in a moment")
    try:
        return _rerun(session, dag_id, run_id, rounds, first)
    finally:
        _RERUNNING.release()
        unfinished_round.forget(rounds[0].run)


def _rerun(
    session: Session, dag_id: str, run_id: str, rounds: Sequence[Round], first: int
) -> dict[str, Any]:
    indexes = {each.map_index for each in rounds if each.number >= first}
    check_idle(_find(session, dag_id, run_id, indexes))
    others = other_runs(session, dag_id, run_id, rounds[0].run)
    _check_others(session, list(others))
    session.commit()  # moving may take minutes; nothing is held meanwhile
    check_no_further(started_rounds(rounds[0].run), len(rounds), others)
    undone = _undo(rounds[0].run, first)
    found = _find(session, dag_id, run_id, indexes)
    check_idle(found)
    cleared = [each for each in found if each.state not in (None, "removed")]
    clear_task_instances(cleared, session, DagRunState.QUEUED, prevent_running_task=True)
    session.commit()
    return {**undone, "cleared": len(cleared)}


@kept(UNFINISHED_SECONDS)
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


def other_runs(session: Session, dag_id: str, run_id: str, run: Run) -> dict[Key, int]:
    """Return the other DAG runs whose plan names the same experiment, with their last round."""
    where = storage.absolute(run.uri).rstrip("/")
    query = select(XComModel.dag_id, XComModel.run_id, XComModel.value).where(
        XComModel.task_id == PLAN_TASK, XComModel.key == "return_value"
    )
    found = {}
    for row in session.execute(query):
        plan = parse_plan(XComModel.deserialize_value(row))
        is_other = (row[0], row[1]) != (dag_id, run_id)
        if is_other and plan and storage.absolute(plan[0].run.uri).rstrip("/") == where:
            found[row[0], row[1]] = max(each.number for each in plan)
    return found


def check_no_further(started: Sequence[int], planned: int, others: Mapping[Key, int]) -> None:
    """Refuse where rounds have begun that this run would not do anew.

    Args:
        started: rounds that have left anything.
        planned: rounds of this run.
        others: last planned round of the other DAG runs of the experiment.

    Raises:
        HTTPException: 409, naming the DAG run to do it from.
    """
    if (last := max(started, default=0)) <= planned:
        return
    by = next((f"{dag}, {run}" for (dag, run), there in others.items() if there >= last), "")
    where = f"ask for it on the page of {by}" if by else "trigger the experiment with more rounds"
    raise _conflict(
        f"this run plans {planned} rounds, but round {last} of its experiment has begun"
        f"{f' in the run {by}' if by else ''}; it would be undone and not done again: {where}"
    )


def _check_others(session: Session, others: Sequence[Key]) -> None:
    """Refuse while another DAG run of the same experiment is not over."""
    query = select(DagRun.dag_id, DagRun.run_id, DagRun.state).where(
        tuple_(DagRun.dag_id, DagRun.run_id).in_(others)
    )
    for dag_id, run_id, state in session.execute(query):
        of = f" of the run {dag_id}, {run_id}, of the same experiment"
        tasks = select(TaskInstance).where(
            TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
        )
        check_idle(session.scalars(tasks).all(), of)
        if str(state) in ("queued", "running"):  # between two tasks
            raise _conflict(f"the run {dag_id}, {run_id}, of the same experiment is not over; wait")


def _undo(run: Run, first: int) -> dict[str, Any]:
    """Undo the rounds, unless that has been done; or raise the HTTPException that says why not."""
    if unfinished_rollback(run) is None and all(n < first for n in started_rounds(run)):
        return {"rounds": [], "kept_in": None}
    try:
        return rollback(run.uri, first)
    except ValueError as error:
        raise _conflict(str(error)) from error


def _find(session: Session, dag_id: str, run_id: str, indexes: set[int]) -> list[TaskInstance]:
    """Return the tasks of the rounds, and those that come after all rounds."""
    query = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    return [
        each
        for each in session.scalars(query.execution_options(populate_existing=True))
        if (each.map_index in indexes if each.task_id.startswith(GROUP) else True)
        and each.task_id not in FIRST
    ]


def check_idle(found: Sequence[TaskInstance], of: str = "") -> None:
    """Refuse while tasks work, or may still write because they were marked a moment ago.

    Args:
        found: the tasks.
        of: whose they are, if not this run's.

    Raises:
        HTTPException: 409, naming some.
    """
    if busy := sorted(_label(each) for each in found if each.state not in IDLE):
        raise _conflict(f"still at work{of}: {_some(busy)}; wait, or mark the run as failed")
    since = datetime.now(UTC) - timedelta(seconds=ENDING_SECONDS)
    signs = ((each, each.last_heartbeat_at) for each in found)
    if ending := sorted(_label(each) for each, seen in signs if seen and seen > since):
        raise _conflict(f"still ending{of}: {_some(ending)}; try again in a moment")


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def _conflict(problem: str) -> HTTPException:
    return HTTPException(status.HTTP_409_CONFLICT, problem)


def _label(each: TaskInstance) -> str:
    where = f" of round {each.map_index + 1}" if each.map_index >= 0 else ""
    return f"{each.task_id.removeprefix(GROUP)}{where} ({each.state})"
