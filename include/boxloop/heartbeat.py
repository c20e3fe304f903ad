"""A heartbeat: whoever waits for a task keeps changing a small object, and the task looks.

A task that outlives the process that started it, so that another can take it up again, must not
live on for ever if none does. It ends itself when its heartbeat has not changed for long enough,
by its own clock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from boxloop import storage

URI = "BOXLOOP_HEARTBEAT"
ORPHAN_SECONDS = "BOXLOOP_ORPHAN_SECONDS"
DEFAULT_ORPHAN_SECONDS = 600.0
SAVE_SECONDS = 120.0
"""How long a task may take to save what it has before it is ended."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def beating(uri: str, *, seconds: float | None = None) -> Iterator[None]:
    """Keep a heartbeat changing for as long as the block lasts.

    Args:
        uri: of the heartbeat, local or gs://; gone in the end.
        seconds: between two beats; by default 5, or 15 on gs://.
    """
    pause = seconds or (15.0 if storage.is_remote(uri) else 5.0)
    done = threading.Event()
    _beat(uri)
    thread = threading.Thread(target=_keep, args=(uri, done, pause), name="heart", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _away_is_fine(storage.delete, uri)


def environment(uri: str) -> dict[str, str]:
    """Return the variables that make a task of `python -m boxloop step` watch a heartbeat."""
    return {URI: uri, ORPHAN_SECONDS: f"{_orphan_seconds():g}"}


def watch() -> None:
    """End this process, saving first, when the heartbeat that its environment names falls silent.

    Does nothing where it names none.
    """
    if uri := os.environ.get(URI):
        arguments = (uri, _orphan_seconds(), _end)
        threading.Thread(target=wait_for_silence, args=arguments, daemon=True).start()


def wait_for_silence(uri: str, seconds: float, on_silence: Callable[[str], None]) -> None:
    """Return, after a call of `on_silence`, when a heartbeat has not changed for long enough.

    Args:
        uri: of the heartbeat.
        seconds: how long it may be unchanged, or away.
        on_silence: gets the reason.
    """
    seen, since = b"", time.monotonic()
    while time.monotonic() - since <= seconds:
        time.sleep(min(seconds / 10, 15.0))
        found = _read(uri)
        if found and found != seen:
            seen, since = found, time.monotonic()
    on_silence(f"{uri} has not changed for {seconds:g} s: nobody waits for this task any more")


def _orphan_seconds() -> float:
    text = os.environ.get(ORPHAN_SECONDS) or str(DEFAULT_ORPHAN_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ValueError(f"{ORPHAN_SECONDS} must be a number of seconds above 0, got {text!r}")
    return seconds


def _end(reason: str) -> None:
    log.warning("%s; saving and ending", reason)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVE_SECONDS)
    os._exit(1)


def _keep(uri: str, done: threading.Event, pause: float) -> None:
    while not done.wait(pause):
        _beat(uri)


def _beat(uri: str) -> None:
    _away_is_fine(storage.write_bytes, uri, str(time.time_ns()).encode())


def _away_is_fine(write: Callable[..., None], uri: str, *arguments: bytes) -> None:
    try:
        write(uri, *arguments)
    except Exception as error:  # storage is away: the next beat may reach it
        log.warning("The heartbeat %s could not be written: %s", uri, error)


def _read(uri: str) -> bytes | None:
    try:
        return storage.read_bytes(uri)
    except Exception:  # away for now, or for good: both are silence
        return None
