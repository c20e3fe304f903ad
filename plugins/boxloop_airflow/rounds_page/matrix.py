"""Tasks by rounds, as Airflow's database has them: states, times, progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from airflow.models.hitl import HITLDetail
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select
from sqlalchemy.orm import Session

from boxloop.json_text import json_object
from boxloop.ledger import ROUND_TASKS
from boxloop.spans import busy_seconds
from boxloop_airflow.progress import PROGRESS_KEY

GROUP = "round."
GATE, TRAIN, PREDICT, PEOPLE = "gate", "train", "predict", "match_labels"
FIRST = ("take_in", "plan_rounds")
"""Tasks before the rounds; all others outside of them come after."""
ENDED = frozenset({"success", "failed", "up_for_retry"})
"""States in which the end of the latest attempt counts."""
BEGUN = ENDED | {"running", "deferred", "awaiting_input", "up_for_reschedule", "restarting"}
"""States in which its start does; a cleared task keeps the dates of before."""
PENDING = frozenset({"scheduled", "queued"})

Cell = dict[str, Any]


class Instance(NamedTuple):
    """A task instance, and when it began to wait for people, and ceased."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: datetime | None
    end_date: datetime | None
    scheduled_dttm: datetime | None
    asked: datetime | None
    answered: datetime | None

    @property
    def name(self) -> str:
        """Task id without the group."""
        return self.task_id.removeprefix(GROUP)


def read_instances(session: Session, dag_id: str, run_id: str) -> list[Instance]:
    """Return the task instances of a DAG run."""
    own = (getattr(TaskInstance, name) for name in Instance._fields[:-2])
    query = (
        select(*own, HITLDetail.created_at, HITLDetail.responded_at)
        .outerjoin(HITLDetail, HITLDetail.ti_id == TaskInstance.id)
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    )
    found = [Instance._make(row) for row in session.execute(query)]
    return sorted((each for each in found if each.state != "removed"), key=_place)


def read_progress(
    session: Session, dag_id: str, run_id: str, instances: Sequence[Instance]
) -> dict[tuple[str, int], dict[str, Any]]:
    """Return what running tasks have said of their progress, by task id and map index."""
    running = {(each.task_id, each.map_index) for each in instances if each.state == "running"}
    if not running:
        return {}
    store = TaskStateStoreModel
    query = select(store.task_id, store.map_index, store.value).where(
        store.dag_id == dag_id, store.run_id == run_id, store.key == PROGRESS_KEY
    )
    # Another state backend keeps but a reference here, which is no object.
    found = {(task, index): json_object(value) for task, index, value in session.execute(query)}
    return {key: value for key, value in found.items() if key in running and value}


def cell(instance: Instance) -> Cell:
    """Return what a cell of the matrix shows; times in seconds, what is not known left out.

    Returns:
        state, index; tries, above one; start, in Unix seconds; `seconds`: how long the latest
        attempt has run, once it has ended; `waiting`: how much of it was waiting for people; of a
        gate, all from when it could run, which is `could`; `queued`: from when another task could
        run to when it did; since: when it could, as long as it does not run.
    """
    found: Cell = {"state": instance.state or "none", "index": instance.map_index}
    if instance.try_number > 1:
        found["tries"] = instance.try_number
    if instance.state in PENDING and instance.scheduled_dttm:
        found["since"] = _unix(instance.scheduled_dttm)
    if instance.state in BEGUN and instance.start_date:
        found |= _times(instance, instance.start_date)
    return found


def _times(instance: Instance, start: datetime) -> Cell:
    could = instance.scheduled_dttm  # later than the start where it came back from waiting
    found: Cell = {"start": _unix(start)}
    end = instance.end_date if instance.state in ENDED else None
    if end:
        found["seconds"] = max(_seconds(start, end), 0.0)
    if instance.name == GATE:  # that of another round keeps it in the queue: no slot is missing
        found["could"] = _unix(min(could or start, start))
        if end:
            found["waiting"] = max(_seconds(min(could or start, start), end), 0.0)
        return found
    if could and could <= start:
        found["queued"] = _seconds(could, start)
    if instance.asked and (until := min(filter(None, (instance.answered, end)), default=None)):
        waiting = max(_seconds(instance.asked, until), 0.0)
        found["waiting"] = min(waiting, found.get("seconds", waiting))
    return found


def build_rows(instances: Sequence[Instance], rounds: int) -> list[dict[str, Any]]:
    """Return the tasks of rounds with a cell for each round, None where there is none yet."""
    rows: dict[str, dict[str, Any]] = {}
    for each in instances:
        if each.task_id.startswith(GROUP):
            new: dict[str, Any] = {"id": each.task_id, "name": each.name, "cells": [None] * rounds}
            row = rows.setdefault(each.task_id, new)
            if 0 <= each.map_index < rounds:
                row["cells"][each.map_index] = cell(each)
    return list(rows.values())


def build_singles(instances: Sequence[Instance]) -> list[dict[str, Any]]:
    """Return the tasks before and after the rounds, each with its cell."""
    return [
        {"id": each.task_id, "name": each.name, "is_first": each.name in FIRST, "cell": cell(each)}
        for each in instances
        if not each.task_id.startswith(GROUP)
    ]


def time_rows(rows: Sequence[Mapping[str, Any]], rounds: int) -> list[dict[str, Any]]:
    """Return where the time of each round went that has begun, in seconds.

    Returns:
        round; whole: from the start of its first task after the gate to the end of its last;
        people: waiting for them; train; predict: while it or a worker of it ran; rest: what is left
        of whole; queued: of all tasks, which is part of the rest where nothing else ran.
    """
    found = []
    for index in range(rounds):
        cells = {row["name"]: row["cells"][index] or {} for row in rows if row["name"] != GATE}
        ended = {name: each for name, each in cells.items() if "seconds" in each}
        if ended:
            found.append({"round": index + 1, **_time_row(ended)})
    return found


def _time_row(cells: Mapping[str, Cell]) -> dict[str, float]:
    work = {name: each["seconds"] - each.get("waiting", 0.0) for name, each in cells.items()}
    start = min(each["start"] for each in cells.values())
    whole = max(each["start"] + each["seconds"] for each in cells.values()) - start
    found = {
        "train": work.get(TRAIN, 0.0),
        "predict": busy_seconds(
            (cells[name]["start"], work[name]) for name in work if name.startswith(PREDICT)
        ),
        "people": cells.get(PEOPLE, {}).get("waiting", 0.0),
    }
    found["rest"] = max(whole - sum(found.values()), 0.0)
    found["queued"] = sum(each.get("queued", 0.0) for each in cells.values())
    return {name: round(value, 1) for name, value in {"whole": whole, **found}.items()}


def _place(instance: Instance) -> tuple[int, int, str, int]:
    """Return where a task instance stands: before, in, or after the rounds."""
    if not instance.task_id.startswith(GROUP):
        is_first = instance.name in FIRST
        order = FIRST.index(instance.name) if is_first else 0
        return 0 if is_first else 2, order, _after(instance.name), instance.map_index
    task = PREDICT if instance.name.startswith(PREDICT) else instance.name
    order = ROUND_TASKS.index(task) if task in ROUND_TASKS else -1
    name = "" if instance.name != PREDICT else "~"  # after its workers
    return 1, order, name or instance.name, instance.map_index


def _after(name: str) -> str:
    return "" if name == "report" else name  # what else comes, comes after it


def _unix(moment: datetime) -> float:
    return round(moment.timestamp(), 1)


def _seconds(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds(), 1)
