"""Kills of every task of a round, each at four points of its work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

IN_AIRFLOW = ("parse_annotations", "write_tfrecords", "match_labels", "merge")
CHILDREN = ("export", "evaluate", "predict")
POINTS = {
    "start": "as it begins",
    "middle": "half-way",
    "marker": "just before its marker",
    "after": "just after its marker",
}
AROUND = (("plan_rounds", 0), ("report", 0))
"""Tasks of no round."""


def kill(what: str, task: str, round_number: int, point: str) -> dict[str, Any]:
    """Return the fault that kills what does a task, at a point of its work."""
    return {
        "id": f"{task}-{round_number}-{point}",
        "kind": f"{what} killed (-9) {POINTS[point]}",
        "task": task,
        "round": round_number,
        "point": point,
        "action": "kill",
    }


def round_kills(round_number: int, points: Iterable[str] = POINTS) -> list[Mapping[str, Any]]:
    """Return the faults that kill each task of a round at each point."""
    faults: list[Mapping[str, Any]] = []
    for point in points:
        for task in IN_AIRFLOW:
            faults.append(kill("task", task, round_number, point))
        for task in CHILDREN:
            faults.append(kill("child process", task, round_number, point))
        faults.append(kill("trainer", "train", round_number, point))
    return faults


def other_kills() -> list[Mapping[str, Any]]:
    """Return the faults that kill the tasks around the rounds, and the gate."""
    faults: list[Mapping[str, Any]] = [
        kill("task", task, number, point) for task, number in AROUND for point in POINTS
    ]
    faults += [kill("task", "gate", 1, point) for point in ("start", "after")]
    return faults
