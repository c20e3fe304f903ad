"""Whether anybody works on a run, as far as its artifacts tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from boxloop import lease, process, storage
from boxloop.artifacts import Run
from boxloop.contents import LEASES, content_of
from boxloop.experiment import read_experiment
from boxloop.json_text import json_object
from boxloop.ledger import finished_rounds, why_stopped
from boxloop.rollback import check_rolled_back, started_rounds

WATCH_SECONDS = lease.STALE_SECONDS
"""How long leases and heartbeats are watched, where there are any; nobody's clock is asked."""


def why_busy(
    run: Run,
    *,
    unfinished_too: bool = False,
    seconds: float = WATCH_SECONDS,
    tell: Callable[[str], None] = lambda line: None,
) -> str | None:
    """Return why nothing of a run may be removed now, None where it may.

    Args:
        run: the run.
        unfinished_too: take a person's word that an unfinished run is not at work.
        seconds: how long a lease or heartbeat must be unchanged to be one of a dead process.
        tell: gets a line where that takes time.
    """
    try:
        check_rolled_back(run)
        unfinished = None if unfinished_too else _why_unfinished(run)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return str(error)
    return unfinished or _who_works(run, seconds, tell)


def _why_unfinished(run: Run) -> str | None:
    planned, done = read_experiment(run.experiment).rounds, finished_rounds(run)
    started = max(started_rounds(run), default=0)
    if started > done:
        return (
            f"round {started} has begun and is not finished: let the run end, or undo that round: "
            f"boxloop rollback {run.uri} --round {done + 1}"
        )
    if done < planned and (not done or why_stopped(run, done) is None):
        return f"{done} of {planned} rounds are finished: let the run end"
    if not storage.exists(run.report_summary):
        return f"its report is not written yet: boxloop report {run.uri}"
    return None


def _who_works(run: Run, seconds: float, tell: Callable[[str], None]) -> str | None:
    files = storage.list_files(run.uri)
    signs = [uri for uri in files if content_of(uri.removeprefix(f"{run.uri}/")).kind == LEASES]
    seen = {uri: found for uri in signs if (found := lease.read(uri)) and not _is_of_dead(found)}
    if not seen:
        return None
    tell(f"Watching {', '.join(seen)} for {seconds:g} s: is anybody there?")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(1.0, seconds / 10))
        if changed := _changed(seen):
            return f"{changed} has just changed: a task of this run is at work"
    return None


def _changed(seen: dict[str, bytes]) -> str | None:
    return next((uri for uri, content in seen.items() if lease.read(uri) != content), None)


def _is_of_dead(content: bytes) -> bool:
    """Whether a lease is one of a process of this machine that has ended."""
    try:
        holder = json_object(content)  # none in a heartbeat, which is a number
        return holder is not None and process.is_alive(holder) is False
    except (ValueError, TypeError, KeyError):  # an odd one
        return False


def known_runs(root: str) -> list[Run]:
    """Return the runs below an artifact root, sorted by name."""
    base = f"{root.rstrip('/')}/experiments"
    names = [uri.removeprefix(f"{base}/").split("/") for uri in storage.list_files(base)]
    found: Collection[str] = {name[0] for name in names if name[1:] == ["experiment.yaml"]}
    return [Run.of(root, name) for name in sorted(found)]
