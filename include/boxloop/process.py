"""Processes told apart for good: process numbers are used again, and mean little elsewhere."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

MOVE_SECONDS = 5.0
"""By how much the start time of a process may seem to move, where the clock has a part in it."""
_START = 19
"""Of the fields of /proc/PID/stat after the name: when the process began (man 5 proc)."""


def identify(pid: int | None = None) -> dict[str, Any]:
    """Return what tells a process of this machine from all others; by default this process."""
    pid = os.getpid() if pid is None else pid
    return {"machine": machine(), "pid": pid, "started": _start_time(pid)}


def is_alive(identity: Mapping[str, Any]) -> bool | None:
    """Whether a process lives; None if it belongs to another machine or container."""
    if identity.get("machine") != machine():
        return None
    started = _start_time(int(identity["pid"]))
    return bool(started) and abs(started - float(identity["started"])) < MOVE_SECONDS


def machine() -> str:
    """Return a name of this machine since it was started, other in each container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{platform.node()}/{psutil.boot_time():.0f}"


def _start_time(pid: int) -> float:
    """Return when a process began, in seconds; 0 if it has ended.

    On Linux they are counted from the start of the machine, which `machine` names, so that a living
    process stays the same when somebody sets the clock; elsewhere from 1970.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return 0.0
        if (stat := Path(f"/proc/{pid}/stat")).exists():
            fields = stat.read_text().rpartition(")")[2].split()  # a name may hold blanks
            return int(fields[_START]) / os.sysconf("SC_CLK_TCK")
        return float(process.create_time())
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return 0.0
