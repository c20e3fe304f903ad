"""Training in a process of this machine, in a session of its own.

The process outlives the task that started it. A shell in front of it waits for its end and keeps
the exit code in a file, so that it can be learned by a later task too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxloop import process
from boxloop.child import interpreter, task_environment
from boxloop_airflow.launchers import (
    FAILED,
    GONE,
    RUNNING,
    SUCCEEDED,
    Job,
    JobId,
    OnLine,
    Status,
    build_options,
)

POLL_SECONDS = 0.2
# The inner shell is left behind by the outer one, which prints its number. A trap, unlike an
# ignored signal, is not passed on: SIGTERM to the group ends the command, and the shell sees it.
KEEP_EXIT_CODE = """
( trap : TERM
  "$@"
  echo $? > "$0/exit_code.new" && mv "$0/exit_code.new" "$0/exit_code"
) > "$0/log" 2>&1 < /dev/null &
echo $!
"""


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """How a process of this machine is started."""

    python: str | None = None
    """The interpreter; by default $BOXLOOP_PYTHON, else Airflow's own."""
    hosts: int = 1
    """Processes that train together, with train.device.strategy multi_worker: to try out what
    several hosts would do. Several GPUs of one machine are for strategy mirrored, in one."""


class LocalLauncher:
    """Runs jobs as processes; a job's id knows its folder, its process and its group."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        built = build_options(LocalOptions, options, "local")
        self._python = built.python or interpreter()
        self._together = ["-m", "boxloop.together", str(built.hosts)] if built.hosts > 1 else []

    def submit(self, job: Job) -> JobId:
        """Start a job; its log and exit code go to a folder of its own."""
        folder = tempfile.mkdtemp(prefix=f"{job.name}-")
        shell = subprocess.Popen(
            ["sh", "-c", KEEP_EXIT_CODE, folder, self._python, *self._together, *job.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**task_environment(), **job.environment},
            start_new_session=True,
        )
        pid = int(shell.communicate()[0])
        return {"folder": folder, "group": shell.pid, "process": process.identify(pid)}

    def status(self, job_id: JobId) -> Status:
        """Return how a job is; a job of another machine, or of before a restart, is gone."""
        is_alive = process.is_alive(job_id["process"])  # before the look: it may end meanwhile
        code = _exit_code(job_id)
        if code is not None:
            reason = f"ended by signal {code - 128}" if code > 128 else ""
            return Status(FAILED if code else SUCCEEDED, code, reason)
        return Status(RUNNING) if is_alive else Status(GONE)

    def follow(self, job_id: JobId, offset: int | None, on_line: OnLine) -> None:
        """Hand on lines of the log file; the offset counts bytes."""
        end = offset or 0
        rest = b""
        path = Path(job_id["folder"]) / "log"
        if not path.exists():
            return
        with path.open("rb") as log:
            log.seek(end)
            is_running = True
            while is_running:
                is_running = self.status(job_id).state == RUNNING  # before the last reading
                *lines, rest = (rest + log.read()).split(b"\n")
                if not is_running and rest:
                    lines.append(rest)
                for line in lines:
                    end += len(line) + 1
                    on_line(line.decode(errors="replace"), end)
                time.sleep(POLL_SECONDS if is_running else 0)

    def stop(self, job_id: JobId) -> None:
        """Send SIGTERM to a job and all it started."""
        if process.is_alive(job_id["process"]):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(job_id["group"], signal.SIGTERM)

    def remove(self, job_id: JobId) -> None:
        """Delete a job's folder."""
        shutil.rmtree(job_id["folder"], ignore_errors=True)


def _exit_code(job_id: JobId) -> int | None:
    try:
        return int((Path(job_id["folder"]) / "exit_code").read_text())
    except FileNotFoundError:
        return None
