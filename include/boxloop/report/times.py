"""Where the time of a run went: seconds by round and task, and how to say them.

Work is what tasks do. Waiting is the rest: for a worker or a slot, for the gate, and for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from boxloop.ledger import ROUND_TASKS, UPSTREAM
from boxloop.report.summary import RoundFacts, elapsed_seconds
from boxloop.spans import busy_seconds
from boxloop.stages import RUN, stage_line, study_duration

_PHASES = ("train", "predict")
_SPANS = ("whole", "people", "between", "neither")
_PARTS = {"train": "train", "predict": "predict", "rest": "rest", "between": "between tasks"}
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

    Returns:
        `tasks`: what each ran; two of them may run at once. `queued`: how long each could have
        begun and had not. `people`: how long the round waited for answers. `between`: when neither
        a task ran nor people were waited for. `whole`: from the first start to the last end.
        `neither`: of it, what is no waiting for people, no training and no prediction.
    """
    rows, before = [], None
    for facts in rounds:
        tasks, whole, people = facts.seconds, elapsed_seconds([facts]), _people_seconds(facts)
        phases = sum(tasks.get(task, 0.0) for task in _PHASES)
        row = {"round": facts.round_number, "tasks": tasks, "whole": whole, "people": people}
        row["queued"] = _queued_seconds(facts, before)
        row["between"] = max(0.0, whole - people - busy_seconds(_spans(facts)))
        row["neither"] = max(0.0, whole - people - phases)
        rows.append(row)
        before = _end(facts, ROUND_TASKS[-1]) or before
    return rows


def _people_seconds(facts: RoundFacts) -> float:
    return float(sum(timing.get("waited", 0.0) for timing in facts.timings.values()))


def _queued_seconds(facts: RoundFacts, before: float | None) -> dict[str, float]:
    """Return by task the seconds from the end of all that it builds on to its start.

    Args:
        facts: the round.
        before: when the round before ended, in Unix seconds.
    """
    queued: dict[str, float] = {}
    for stem, timing in facts.timings.items():
        task = stem.partition("-")[0]
        ends = _worker_ends(facts, stem) or [_end(facts, name) for name in UPSTREAM[task]]
        known = [end for end in ends or [before] if end is not None]
        if known:
            seconds = max(0.0, timing["started"] - max(known))
            queued[task] = max(queued.get(task, 0.0), seconds)
    return queued


def _worker_ends(facts: RoundFacts, stem: str) -> list[float | None]:
    """Return when the workers of a task ended, if it had any: it waits for them."""
    return [
        timing["started"] + timing["seconds"]
        for name, timing in facts.timings.items()
        if name.startswith(f"{stem}-")
    ]


def _end(facts: RoundFacts, task: str) -> float | None:
    """Return when a task ended and people had answered, None if it left no timing."""
    ends = [
        timing["started"] + timing["seconds"] + timing.get("waited", 0.0)
        for stem, timing in facts.timings.items()
        if stem.partition("-")[0] == task
    ]
    return max(ends, default=None)


def _spans(facts: RoundFacts) -> list[tuple[float, float]]:
    return [(timing["started"], timing["seconds"]) for timing in facts.timings.values()]


def total_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums over rounds, in the form of one of the rows."""
    names = dict.fromkeys(task for row in rows for task in row["tasks"])
    sums: dict[str, Any] = {
        kind: {name: sum(row[kind].get(name, 0.0) for row in rows) for name in names}
        for kind in ("tasks", "queued")
    }
    sums |= {key: sum(row[key] for row in rows) for key in _SPANS}
    return {"round": "all", **sums}


def run_times(rounds: Sequence[RoundFacts]) -> dict[str, float]:
    """Return the seconds of a run by what they went into.

    Returns:
        `train`, `predict`, `rest` (all other tasks) and `between` (when none ran, in rounds and
        between them), which together are the run without waiting for people; and `people`.
    """
    total, elapsed = total_row(time_rows(rounds)), elapsed_seconds(rounds)
    parts = {task: total["tasks"].get(task, 0.0) for task in _PHASES}
    between = total["between"] + max(0.0, elapsed - total["whole"])
    rest = elapsed - sum(parts.values()) - total["people"] - between
    parts |= {"rest": max(0.0, rest), "between": between, "people": total["people"]}
    return {name: round(seconds, 3) for name, seconds in parts.items()}


def worked_seconds(times: Mapping[str, float]) -> float:
    """Return the seconds of a run without waiting for people, from what `run_times` returned."""
    return sum(seconds for name, seconds in times.items() if name != "people")


def run_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return what the end of a run says in the log, from its report/summary.json."""
    parts = summary["times"]
    worked = worked_seconds(parts)
    told = [
        f"{name} {study_duration(parts[key])} ({percent(parts[key], worked)})"
        for key, name in _PARTS.items()
    ]
    people = f"; besides, people {study_duration(parts['people'])}" if parts["people"] else ""
    return [stage_line(RUN, worked), f"of it {', '.join(told)}{people}"]


def percent(part: float, whole: float) -> str:
    """Return a share as people say it, `41 %`; of nothing a dash."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "\N{EN DASH}"


def phases_by_round(rows: Sequence[dict[str, Any]]) -> tuple[str, dict[str, list[float]]]:
    """Return a fitting unit of time, and in it the parts that add up to each round's work.

    Waiting for people is left out: a day of it would leave nothing else to be seen.
    """
    longest = max(row["whole"] - row["people"] for row in rows)
    unit, size = next(unit for unit in _UNITS if longest >= 2 * unit[1] or unit[1] == 1)
    parts = {task: [row["tasks"].get(task, 0.0) for row in rows] for task in _PHASES}
    parts["other tasks"] = [max(0.0, row["neither"] - row["between"]) for row in rows]
    parts["between tasks"] = [row["between"] for row in rows]
    return unit, {name: [value / size for value in values] for name, values in parts.items()}
