"""How long the tasks of a round took, and how long it waited for people."""

from __future__ import annotations

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.ledger import ROUND_TASKS


def round_seconds(run: Run, round_number: int) -> float:
    """Return the time that the tasks of a round have taken, in seconds; all but the last."""
    folder = run.timing(round_number, "*").rpartition("/")[0]
    last = run.timing(round_number, ROUND_TASKS[-1])
    uris = [uri for uri in storage.list_files(folder) if uri.endswith(".json") and uri != last]
    return round(sum(float(storage.read_json(uri)["seconds"]) for uri in uris), 3)


def record_wait(run: Run, round_number: int, task: str, *, until: float) -> None:
    """Add to a task's timing how long the round then waited for people.

    Args:
        run: the run.
        round_number: from 1.
        task: that has asked them, and has been done.
        until: when the round went on, in Unix seconds.
    """
    uri = run.timing(round_number, task)
    timing = storage.read_json(uri)
    waited = max(0.0, until - timing["started"] - timing["seconds"])
    storage.write_json(uri, {**timing, "waited": round(waited, 3)})
