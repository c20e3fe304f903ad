"""What happens at a point of a task's work; see fault_points.py.

Each gets the fault, the task that this process works on, and what is being written, if anything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CONTROL = Path(os.environ.get("BOXLOOP_FAULTS", "/nowhere"))

Fault = Mapping[str, Any]


def _kill(fault: Fault, now: Fault, uri: str, data: bytes) -> None:
    """Die as the kernel kills, with half of what was being written left behind."""
    if uri and not uri.startswith("gs://"):
        folder = Path(uri).parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
            file.write(data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(fault: Fault, now: Fault, uri: str, data: bytes) -> None:
    """Stop this process, and let it go on after some seconds."""
    command = f"sleep {fault['seconds']}; kill -CONT {os.getpid()}"
    subprocess.Popen(["sh", "-c", command], start_new_session=True)
    os.kill(os.getpid(), signal.SIGSTOP)


def _twin(fault: Fault, now: Fault, uri: str, data: bytes) -> None:
    """Start a second process of the same task of the same round; both go on."""
    command = [sys.executable, "-m", "boxloop", "step", now["task"]]
    command += ["--run", now["run"], "--round", str(now["round"])]
    quiet = ("BOXLOOP_FAULTS", "BOXLOOP_LIFELINE", "BOXLOOP_HEARTBEAT")
    ours = {k: v for k, v in os.environ.items() if k not in quiet}
    with (CONTROL / f"twin-{fault['id']}.log").open("wb") as log:
        subprocess.Popen(
            ["sh", "-c", '"$@"; echo "twin ended: $?"', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**ours, "TF_USE_LEGACY_KERAS": "1"},
            start_new_session=True,
        )


def _memory(fault: Fault, now: Fault, uri: str, data: bytes) -> None:
    raise MemoryError("no memory is left: a fault that a test put here")


ACTIONS: Mapping[str, Callable[[Fault, Fault, str, bytes], None]] = {
    "kill": _kill,
    "stop": _stop,
    "twin": _twin,
    "memory": _memory,
}
