"""Following a log whose lines begin with a time, as containers' logs do, however it is cut."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from boxloop_airflow.launchers import RUNNING, OnLine, Status

POLL_SECONDS = 3.0
ATTEMPTS = 20
"""So often in a row the provider may not answer."""

log = logging.getLogger(__name__)


def follow(
    read: Callable[[str | None], Iterable[str]],
    status: Callable[[], Status],
    offset: str | None,
    on_line: OnLine,
    *,
    errors: tuple[type[Exception], ...],
    poll_seconds: float | None = None,
) -> None:
    """Hand on each line of a log, until its job has ended; tell why a job does not begin.

    Args:
        read: gives lines such as `2026-11-22T18:00:00.5Z text` that are at least as new as the
            offset, and may give older ones.
        status: of the job.
        offset: the time of the last line that was handed on.
        on_line: called with each line and its time.
        errors: what `read` and `status` raise when the provider is away for a while.
        poll_seconds: between two readings; by default POLL_SECONDS.
    """
    told, failures = "", 0
    while True:
        try:
            now = status()  # before the reading: what it printed last is read
            told = _tell(now.reason, told)
            for line in read(offset):
                stamp, _, text = line.partition(" ")
                if offset is None or nanoseconds(stamp) > nanoseconds(offset):
                    offset = stamp
                    on_line(text, stamp)
            if now.state != RUNNING:
                return
            failures = 0
        except errors as error:
            failures += 1
            if failures == ATTEMPTS:
                raise
            log.warning("The job cannot be reached for now: %s", error)
        time.sleep(POLL_SECONDS if poll_seconds is None else poll_seconds)


def whole_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Give the lines of a stream of bytes that comes in pieces."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")


def seconds(stamp: str) -> int:
    """Return a time such as 2026-11-22T18:00:00.5Z in Unix seconds, rounded down."""
    return int(datetime.fromisoformat(f"{stamp[:19]}+00:00").timestamp())


def nanoseconds(stamp: str) -> tuple[int, int]:
    """Return a time as seconds and nanoseconds; fractions may have any number of digits."""
    fraction = stamp[20:].rstrip("Z") if stamp[19:20] == "." else ""
    return seconds(stamp), int(fraction.ljust(9, "0")[:9])


def _tell(reason: str, told: str) -> str:
    if reason and reason != told:
        log.info("%s", reason)
    return reason
