"""What `boxloop gc` has removed of a run: written down before it is removed, with the date.

Each round has a record of its own, which is moved aside with it by a rollback.
"""

from __future__ import annotations

import operator
from datetime import UTC, datetime
from typing import Any

from boxloop import storage
from boxloop.artifacts import Run

FORMAT = 1
"""Of the records; raised when an older Boxloop could not read them."""

Removed = dict[str, dict[str, Any]]
"""Kind to `at`, `files`, `bytes`, `is_finished`."""


def read(run: Run, round_number: int) -> Removed:
    """Return what was removed of a round, nothing where nothing was.

    Raises:
        ValueError: if the record is of a newer version of Boxloop.
    """
    uri = run.collected(round_number)
    if not storage.exists(uri):
        return {}
    value = storage.read_json(uri)
    if value.get("format") != FORMAT:
        raise ValueError(f"{uri} has format {value.get('format')!r}: bring Boxloop up to date")
    return dict(value["removed"])


def note(run: Run, round_number: int, kind: str, *, files: int, size: int) -> None:
    """Write down that files of a round are about to be removed.

    Args:
        run: the run.
        round_number: from 1.
        kind: of boxloop.contents.
        files: how many there are. They are added to those of earlier removals; of one that was
            cut off they are what is left.
        size: theirs, in bytes.
    """
    known = read(run, round_number)
    before = known.get(kind, {"files": 0, "bytes": 0, "is_finished": True})
    together = operator.add if before["is_finished"] else max
    known[kind] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": together(before["files"], files),
        "bytes": together(before["bytes"], size),
        "is_finished": False,
    }
    _write(run, round_number, known)


def finish(run: Run, round_number: int, kind: str) -> None:
    """Write down that all of them are gone."""
    known = read(run, round_number)
    known[kind]["is_finished"] = True
    _write(run, round_number, known)


def when(run: Run, round_number: int, kind: str) -> str | None:
    """Return when files of a round were removed, as a date; None where they were not."""
    found = read(run, round_number).get(kind)
    return None if found is None else str(found["at"])[:10]


def why_missing(run: Run, round_number: int, kind: str) -> str:
    """Return words for a message about files that are not there: who removed them, if known."""
    date = when(run, round_number, kind)
    return f"removed by gc on {date}" if date else "missing"


def in_words(run: Run, last_round: int) -> list[str]:
    """Return what was removed of the rounds up to the last one, a line for each round."""
    lines = []
    for number in range(1, last_round + 1):
        if found := read(run, number):
            dates = sorted({str(one["at"])[:10] for one in found.values()})
            lines.append(f"round {number}: {', '.join(sorted(found))}, on {' and '.join(dates)}")
    return lines


def _write(run: Run, round_number: int, known: Removed) -> None:
    storage.write_json(run.collected(round_number), {"format": FORMAT, "removed": known})
