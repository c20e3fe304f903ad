"""What a task's process prints, shown in Airflow: lines in the log, progress in the state store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from boxloop.child import parse_progress
from boxloop.failure import Cause, parse_failure

PROGRESS_KEY = "progress"
PROGRESS_SECONDS = 1.0
"""Least time between two updates of the task state store: each is a write to Airflow's database."""


def forget_progress(store: Any) -> None:
    """Drop what an earlier attempt told: Airflow keeps it, and would show it of a new one."""
    if store is not None:
        store.delete(PROGRESS_KEY)


class Display:
    """Shows the lines of a process; called with each as it comes.

    Args:
        log: the task's log.
        store: Airflow's task state store, if there is one.
        offset_key: where the store keeps how much has been shown, for who goes on with it.
    """

    def __init__(self, log: Any, store: Any, *, offset_key: str | None = None) -> None:
        self._log = log
        self._store = store
        self._offset_key = offset_key
        self._progress: dict[str, Any] | None = None
        self._next_update = 0.0
        self.cause: Cause | None = None
        """Why the process failed, if it has said so."""

    def __call__(self, line: str, offset: Any = None) -> None:
        """Show a line.

        Args:
            line: as it was printed.
            offset: after this line.
        """
        progress, cause = parse_progress(line), parse_failure(line)
        if cause is not None:
            self.cause = cause
        elif progress is not None:
            self._progress = progress
        else:
            self._log.info("%s", line)
        is_last = progress is not None and _is_last(progress)
        if self._store is not None and (is_last or time.monotonic() >= self._next_update):
            self._next_update = time.monotonic() + PROGRESS_SECONDS
            self._keep(offset)

    def _keep(self, offset: Any) -> None:
        try:
            if self._progress is not None:
                self._store.set(PROGRESS_KEY, self._progress)
            if self._offset_key is not None:
                self._store.set(self._offset_key, offset)
        except Exception as error:  # a display that fails must not end hours of work
            self._log.warning("Progress could not be shown: %s", error)


def _is_last(progress: Mapping[str, Any]) -> bool:
    return "step" in progress and progress["step"] == progress.get("steps")
