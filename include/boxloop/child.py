"""One boxloop command in a process of its own, so that what it holds is free when it ends.

TensorFlow gives neither memory nor a GPU back before its process ends, hence the child. A child
leads a session of its own, so that it and all it starts can be ended together, and it holds on to
a lifeline: a pipe that closes when its parent dies, however that happens.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from boxloop import heartbeat, storage

INPUT_ERROR = 2
"""Exit code where trying again cannot help: wrong input or settings, a loss that is no number, out
of memory."""
STOPPED = 143
"""Exit code of a task that was told to end, by SIGTERM, and has saved what it had."""
LIFELINE = "BOXLOOP_LIFELINE"
PROGRESS = "@progress "
AIRFLOWS = ("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_", "BOXLOOP_ALERT_URL", "BOXLOOP_LAUNCHER")
"""Beginnings of variables that no task needs, and that may hold secrets."""
TENSORFLOW = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # evaluate and predict share a GPU
    "TF_USE_LEGACY_KERAS": "1",  # Model Garden needs Keras 2
}
"""What TensorFlow is told unless the environment says otherwise."""


def step_command(
    task: str,
    run_uri: str,
    round_number: int,
    worker: int = 0,
    workers: int = 1,
) -> list[str]:
    """Return the command line that runs one task of a round.

    Args:
        task: a name from `boxloop.steps.ROUND_TASKS`.
        run_uri: a folder or gs:// prefix.
        round_number: from 1.
        worker: of `predict`: the number of one of several workers, from 1.
        workers: how many there are.
    """
    command = [interpreter(), "-m", "boxloop", "step", task]
    command += ["--run", run_uri, "--round", str(round_number)]
    if worker:
        command += ["--worker", str(worker)]
    if workers > 1:
        command += ["--workers", str(workers)]
    return command


def interpreter() -> str:
    """Return the Python that has TensorFlow: $BOXLOOP_PYTHON, else the one that runs this."""
    return os.environ.get("BOXLOOP_PYTHON") or sys.executable


def parse_progress(line: str) -> dict[str, Any] | None:
    """Return the value of a line such as `@progress {"step": 40, "steps": 120}`, else None."""
    if not line.startswith(PROGRESS):
        return None
    try:
        value = json.loads(line.removeprefix(PROGRESS))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Child:
    """A command in a child process; `terminate` may be called from a signal handler or thread."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[str] | None = None

    def run(self, on_line: Callable[[str], None]) -> int:
        """Run the command to its end; nothing of it survives this call, whatever happens.

        Args:
            on_line: called with each line that the command prints, as it comes.

        Returns:
            The exit code; negative, the number of the signal that ended it.
        """
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,  # the lifeline: never written to
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**task_environment(), LIFELINE: "1"},
            start_new_session=True,
        )
        try:
            for line in self._process.stdout or ():
                on_line(line.rstrip("\n"))
            return self._process.wait()
        finally:
            self.terminate()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()

    def terminate(self, grace_seconds: float = 4.0) -> None:
        """Ask the command and all it started to end, and make them after `grace_seconds`."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            end = time.monotonic() + grace_seconds
            while self._process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def is_watched() -> bool:
    """Whether another process waits for this one, and tells people how it ended."""
    return os.environ.get(LIFELINE) == "1" or bool(os.environ.get(heartbeat.URI))


def watch_lifeline() -> None:
    """End this process when nobody waits for it any more.

    At once, and with all that it started, if its parent was a `Child` and is gone; saving first,
    if it was launched with a heartbeat that has fallen silent.
    """
    heartbeat.watch()
    if os.environ.get(LIFELINE) == "1":
        threading.Thread(target=_wait_for_parent, name="lifeline", daemon=True).start()


def _wait_for_parent() -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock would block the interpreter's exit
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """Give an event that SIGTERM sets; elsewhere than in the main thread nothing does."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)


def task_environment() -> dict[str, str]:
    """Return this environment less Airflow's secrets, and with what TensorFlow and gs:// need."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(AIRFLOWS)}
    ours.pop(LIFELINE, None)
    ours.pop("PYTHONDONTWRITEBYTECODE", None)  # it makes the import of TensorFlow 3 times as long
    return {**TENSORFLOW, **ours, **storage.key_environment(), "PYTHONUNBUFFERED": "1"}
