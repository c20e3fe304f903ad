"""Where the time of a run went: seconds by round and task, and how to say them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from boxloop.report.summary import RoundFacts, elapsed_seconds

_PHASES = ("train", "predict")
_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def format_duration(seconds: float) -> str:
    """Return seconds as people say it: `4.2 s`, `3 min 05 s`, `21 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def start_time(rounds: Sequence[RoundFacts]) -> str | None:
    """Return when the first task started, or None without timings."""
    starts = [timing["started"] for facts in rounds for timing in facts.timings.values()]
    if not starts:
        return None
    return datetime.fromtimestamp(min(starts), UTC).strftime("%Y-%m-%d %H:%M UTC")


def time_rows(rounds: Sequence[RoundFacts]) -> list[dict[str, Any]]:
    """Return the seconds of each round.

    `tasks` is by task; two of them may run at once. `between` is when none ran, `whole` is from
    the first start to the last end, and `neither` is what of it is neither training nor prediction.
    """
    rows = []
    for facts in rounds:
        tasks, whole = facts.seconds, elapsed_seconds([facts])
        phases = sum(tasks.get(task, 0.0) for task in _PHASES)
        row = {"round": facts.round_number, "tasks": tasks, "whole": whole}
        row["between"] = max(0.0, whole - _busy_seconds(facts))
        row["neither"] = max(0.0, whole - phases)
        rows.append(row)
    return rows


def _busy_seconds(facts: RoundFacts) -> float:
    """Return for how many seconds at least one task ran."""
    busy, end = 0.0, -math.inf
    for timing in sorted(facts.timings.values(), key=lambda timing: timing["started"]):
        last = timing["started"] + timing["seconds"]
        busy += max(0.0, last - max(end, timing["started"]))
        end = max(end, last)
    return busy


def total_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums over rounds, in the form of one of the rows."""
    names = dict.fromkeys(task for row in rows for task in row["tasks"])
    tasks = {name: sum(row["tasks"].get(name, 0.0) for row in rows) for name in names}
    sums = {key: sum(row[key] for row in rows) for key in ("whole", "between", "neither")}
    return {"round": "all", "tasks": tasks, **sums}


def phases_by_round(rows: Sequence[dict[str, Any]]) -> tuple[str, dict[str, list[float]]]:
    """Return a fitting unit of time, and in it the parts that add up to each round."""
    longest = max(row["whole"] for row in rows)
    unit, size = next(unit for unit in _UNITS if longest >= 2 * unit[1] or unit[1] == 1)
    parts = {task: [row["tasks"].get(task, 0.0) for row in rows] for task in _PHASES}
    parts["other tasks"] = [max(0.0, row["neither"] - row["between"]) for row in rows]
    parts["between tasks"] = [row["between"] for row in rows]
    return unit, {name: [value / size for value in values] for name, values in parts.items()}
