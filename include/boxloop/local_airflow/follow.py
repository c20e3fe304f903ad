"""Live progress of a run: on a terminal one small table, elsewhere a line a task.

What is shown is computed by pure functions from the answers of Airflow's REST API.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from boxloop.local_airflow.client import AirflowClient

Instance = Mapping[str, Any]
"""A task instance, as the REST API describes it."""
Poll = tuple[list[dict[str, Any]], Mapping[str, Any]]
"""All task instances of a run, and the progress of the one at work."""
GROUP = "round."
FIRST, LAST = "round.gate", "round.merge"
ACTIVE = ("running", "queued", "scheduled", "up_for_retry")
"""States of a task at work, the most telling first; a gate that waits is deferred."""
SHOWN = ("success", "failed", "up_for_retry", "skipped")
POLL_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class View:
    """What to show of a run."""

    round_number: int | None
    """None outside the rounds."""
    rounds: int
    """0 until they are planned."""
    task: str
    elapsed_seconds: float
    left_seconds: float | None
    """None until a round is done."""
    progress: Mapping[str, Any]
    """Of the task: step, steps, images_per_second; or empty."""


def follow(client: AirflowClient, dag_id: str, run_id: str, console: Console) -> str:
    """Show a run until it ends, and return its last state: success or failed."""
    polls = _poll(client, dag_id, run_id)
    if console.is_terminal:
        _show_live(polls, console)
    else:
        _show_lines(polls, console)
    return client.run_state(dag_id, run_id)


def build_view(instances: Sequence[Instance], progress: Mapping[str, Any], now: float) -> View:
    """Return what to show.

    Args:
        instances: all task instances of the run.
        progress: what the task at work last told.
        now: Unix seconds.
    """
    at_work = current_task(instances)
    starts = [_seconds(i["start_date"]) for i in instances if i["start_date"]]
    return View(
        round_number=_round_number(at_work) if at_work else None,
        rounds=len(_by_round(instances, FIRST)),
        task=_name(at_work) if at_work else "waiting for Airflow",
        elapsed_seconds=now - min(starts, default=now),
        left_seconds=seconds_left(instances, now),
        progress=progress,
    )


def current_task(instances: Sequence[Instance]) -> Instance | None:
    """Return the task at work; of several in the most telling state, the one begun last."""
    found = [i for i in instances if i["state"] in ACTIVE and i["task_id"] != FIRST]
    found.sort(key=lambda i: i["start_date"] or "", reverse=True)
    return min(found, key=lambda i: (ACTIVE.index(i["state"]), i["map_index"]), default=None)


def seconds_left(instances: Sequence[Instance], now: float) -> float | None:
    """Return the mean time of the finished rounds for each one left, less what it has had.

    None until a round has finished, 0 when all have.
    """
    ends = sorted(
        _seconds(i["end_date"]) for i in _by_round(instances, LAST) if i["state"] == "success"
    )
    starts = [_seconds(i["start_date"]) for i in _by_round(instances, FIRST) if i["start_date"]]
    if not ends:
        return None
    skipped = sum(i["state"] == "skipped" for i in _by_round(instances, LAST))
    left = len(_by_round(instances, FIRST)) - len(ends) - skipped
    mean = (ends[-1] - min(starts)) / len(ends)
    return max(0.0, left * mean - (now - ends[-1])) if left else 0.0


def changes(before: Mapping[str, str], instances: Sequence[Instance]) -> list[str]:
    """Return a line for each task that has ended, failed or been put off since `before`.

    Args:
        before: task instance id to state, of the poll before.
        instances: all task instances now.
    """
    ended = [
        i
        for i in instances
        if i["state"] in SHOWN and before.get(i["id"]) != i["state"] and i["start_date"]
    ]
    rounds = len(_by_round(instances, FIRST))
    ended.sort(key=lambda i: i["end_date"] or i["start_date"])
    return [_line(i, rounds) for i in ended if _is_news(i)]


def format_seconds(seconds: float) -> str:
    """Return a duration as 0:07, 12:30 or 1:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def render(view: View) -> Table:
    """Return the table for a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=10)
    table.add_column()
    where = f"{view.round_number} of {view.rounds}" if view.round_number else "-"
    step, steps = view.progress.get("step"), view.progress.get("steps")
    speed = view.progress.get("images_per_second")
    left = view.left_seconds
    table.add_row("round", where)
    table.add_row("task", view.task)
    table.add_row("step", f"{step} of {steps}" if steps else "-")
    table.add_row("", ProgressBar(total=steps or 1, completed=step or 0, width=40))
    table.add_row("images/s", f"{speed:.1f}" if speed else "-")
    table.add_row("elapsed", format_seconds(view.elapsed_seconds))
    table.add_row("time left", "known after round 1" if left is None else _about(left))
    return table


def _poll(client: AirflowClient, dag_id: str, run_id: str) -> Iterator[Poll]:
    """Give the run's task instances and the progress of the one at work, until the run ends."""
    while True:
        state = client.run_state(dag_id, run_id)
        instances = client.task_instances(dag_id, run_id)
        at_work = current_task(instances)
        progress: Mapping[str, Any] = {}
        if at_work and at_work["state"] == "running" and _round_number(at_work):
            progress = client.task_state(at_work, "progress") or {}
        yield instances, progress
        if state in ("success", "failed"):
            return
        time.sleep(POLL_SECONDS)


def _show_live(polls: Iterator[Poll], console: Console) -> None:
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        for instances, progress in polls:
            live.update(render(build_view(instances, progress, time.time())))


def _show_lines(polls: Iterator[Poll], console: Console) -> None:
    before: dict[str, str] = {}
    for instances, _ in polls:
        for line in changes(before, instances):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        before = {instance["id"]: instance["state"] for instance in instances}


def _is_news(instance: Instance) -> bool:
    """Whether to say that it ended.

    A gate only tells of a round that is skipped, and then for all its tasks.
    """
    is_gate = bool(instance["task_id"] == FIRST)
    is_skipped = bool(instance["state"] == "skipped")
    return is_gate == is_skipped or bool(instance["state"] == "failed")


def _line(instance: Instance, rounds: int) -> str:
    number = _round_number(instance)
    where = f"round {number} of {rounds}: " if number else ""
    said = {
        "success": f"done in {instance['duration'] or 0:.1f} s",
        "failed": "failed",
        "up_for_retry": "failed, will be tried again",
        "skipped": "not needed, the experiment has stopped",
    }
    return f"{where}{_name(instance)} {said[instance['state']]}"


def _by_round(instances: Sequence[Instance], task_id: str) -> list[Instance]:
    return [i for i in instances if i["task_id"] == task_id and i["map_index"] >= 0]


def _round_number(instance: Instance) -> int | None:
    """Return the round of a task instance, from 1."""
    is_round = instance["task_id"].startswith(GROUP) and instance["map_index"] >= 0
    return instance["map_index"] + 1 if is_round else None


def _name(instance: Instance) -> str:
    return str(instance["task_id"]).removeprefix(GROUP)


def _about(seconds: float) -> str:
    return f"about {format_seconds(seconds)}"


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
