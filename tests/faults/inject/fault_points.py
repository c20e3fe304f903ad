"""Faults at exact points of the product's work, in the process that does it.

The folder that BOXLOOP_FAULTS names has the plan, `plan.json`: a list of faults, each with an id, a
task, a round, a point and what is to happen there. A process that comes to a point looks there, and
the first fault for that point that nobody has claimed happens, once. `trail.jsonl` gets a line for
each point that a process comes to.

The points of a task:

- start: its work is about to begin
- middle: half of a result is in a temporary file; of the demo data, the pictures are drawn and
  their labels are not; of training, a checkpoint has been kept; of an export, the SavedModel is
  there and the TFLite files are not
- marker: everything is there, and half of the completion marker in a temporary file
- after: the marker is there, and Airflow does not know it yet
"""

from __future__ import annotations

import functools
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from fault_actions import ACTIONS, CONTROL, Fault  # type: ignore[import-not-found]  # beside this

NOT_RESULTS = re.compile(r"/timings/|[.](lease|heartbeat)$")
MARKERS = {"plan_rounds": "/experiment.yaml", "report": "/report/summary.json"}
"""What is written last; of all other tasks done/TASK.json."""

_now: dict[str, Any] = {}
"""The task that this process works on, and its round and run."""


def patch(module: ModuleType) -> None:
    """Put the hooks into a module that was just imported."""
    for name, wrap in HOOKS[module.__name__].items():
        setattr(module, name, wrap(getattr(module, name)))


def reach(point: str, uri: str = "", data: bytes = b"") -> None:
    """Come to a point: leave a line in the trail, and let a fault happen if one is due.

    Args:
        point: which one.
        uri: of the object that is being written there, if one is.
        data: its content.
    """
    if not _now:
        return
    line = {**_now, "point": point, "pid": os.getpid(), "at": time.monotonic()}
    with suppress(OSError), (CONTROL / "trail.jsonl").open("a") as trail:
        trail.write(json.dumps(line) + "\n")
    fault = _claim(point)
    if fault is not None:
        ACTIONS[fault["action"]](fault, _now, uri, data)


def _claim(point: str) -> Fault | None:
    try:
        plan: list[Fault] = json.loads((CONTROL / "plan.json").read_text())
    except (OSError, ValueError):
        return None
    for fault in plan:
        if all(fault[name] == _now[name] for name in ("task", "round")) and (
            fault["point"] == point and _is_first(fault)
        ):
            return fault
    return None


def _is_first(fault: Fault) -> bool:
    try:
        (CONTROL / f"fired-{fault['id']}").open("x").close()
    except FileExistsError:
        return False
    return True


def _in_run_once(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def run_once(run: Any, round_number: int, name: str, *rest: Any, **named: Any) -> Any:
        return _inside(
            name.partition("-")[0],
            round_number,
            run.uri,
            lambda: original(run, round_number, name, *rest, **named),
        )

    return run_once


def _in_plan(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *rest, **named: _inside(
        "plan_rounds", 0, named["experiment_id"], lambda: original(*rest, **named)
    )


def _in_report(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda run_uri: _inside("report", 0, run_uri, lambda: original(run_uri))


def _in_gate(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda run_uri, number: _inside(
        "gate", number, run_uri, lambda: original(run_uri, number)
    )


def _inside(task: str, number: int, run: str, work: Callable[[], Any]) -> Any:
    before = dict(_now)
    _now.update(task=task, round=number, run=run)
    try:
        reach("start")
        value = work()
        reach("after")
        return value
    finally:
        _now.clear()
        _now.update(before)


def _in_write_bytes(original: Callable[..., Any]) -> Callable[..., Any]:
    def write_bytes(uri: str, data: bytes) -> Any:
        if _now and not NOT_RESULTS.search(uri):
            marker = MARKERS.get(_now["task"], "/done/")
            reach("marker" if marker in uri else "middle", uri, data)
        return original(uri, data)

    return write_bytes


def _after(original: Callable[..., Any]) -> Callable[..., Any]:
    def sooner(*rest: Any) -> Any:
        value = original(*rest)
        reach("middle")
        return value

    return sooner


def _before(original: Callable[..., Any]) -> Callable[..., Any]:
    def later(*rest: Any) -> Any:
        reach("middle")
        return original(*rest)

    return later


def _in_beating(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell who waits for a training."""

    def beating(uri: str, **named: Any) -> Any:
        number = int(uri.rpartition("/round_")[2][:2])
        _now.update(task="train task", round=number, run=uri)
        reach("start")
        _now.clear()
        return original(uri, **named)

    return beating


def _in_boot_time(original: Callable[[], float]) -> Callable[[], float]:
    """When the clock is set, so is what the kernel says of when the machine was started."""

    def boot_time() -> float:
        try:
            return original() + float((CONTROL / "clock").read_text())
        except (OSError, ValueError):
            return original()

    return boot_time


HOOKS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "boxloop.checkpoint_keeper": {"_only_check": _after, "_copy": _after},
    "boxloop.data.demo": {"_write_labels": _before},
    "boxloop.detector.tflite": {"_convert": _before},
    "boxloop.heartbeat": {"beating": _in_beating},
    "boxloop.ledger": {"run_once": _in_run_once, "check_previous_round": _in_gate},
    "boxloop.plan": {"plan_rounds": _in_plan},
    "boxloop.steps": {"report": _in_report},
    "boxloop.storage": {"write_bytes": _in_write_bytes},
    "psutil._pslinux": {"boot_time": _in_boot_time},
}
