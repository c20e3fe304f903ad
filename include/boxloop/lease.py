"""A lease: one writer at a time to a folder, on whatever machine its writers are.

The lease is a small object beside the folder. Its holder rewrites it every few seconds; who finds
it unchanged for longer than `stale_seconds`, by a clock of his own, takes it over. So no two clocks
are ever compared. Each write replaces exactly what the writer last saw there
(`storage.swap_bytes`): who has lost the lease learns it by his next write at the latest.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from boxloop import process, storage
from boxloop.json_text import json_object

RENEW_SECONDS = 10.0
STALE_SECONDS = 60.0

log = logging.getLogger(__name__)


class LeaseLostError(RuntimeError):
    """Another writer has taken the lease over."""


@contextlib.contextmanager
def hold(
    uri: str,
    *,
    on_lost: Callable[[], None] | None = None,
    renew_seconds: float = RENEW_SECONDS,
    stale_seconds: float = STALE_SECONDS,
) -> Iterator[Held]:
    """Hold a lease; wait for it as long as another holds it.

    A holder that ended on this machine without giving it back is not waited for.

    Args:
        uri: of the lease, local or gs://; gone in the end.
        on_lost: called by a thread when another has taken the lease over; by default this process
            ends at once, with nothing saved: it was taken for dead, and another writes now.
        renew_seconds: how often the lease is renewed.
        stale_seconds: how long a lease is unchanged before it is taken over.
    """
    held = Held(uri)
    held.take(stale_seconds, poll_seconds=renew_seconds / 5)
    done = threading.Event()
    keeper = threading.Thread(
        target=_keep, args=(held, done, renew_seconds, on_lost or _end), name="lease", daemon=True
    )
    keeper.start()
    try:
        yield held
    finally:
        done.set()
        keeper.join()
        held.release()


def read(uri: str) -> bytes | None:
    """Return what a lease or a heartbeat holds, None where there is none."""
    try:
        return storage.read_bytes(uri)
    except FileNotFoundError:
        return None


class Held:
    """A lease in somebody's hands."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._holder = {
            "holder": uuid.uuid4().hex,
            "host": platform.node(),
            **process.identify(),
        }
        self._beat = 0
        self._content = self._next_content()
        self._lock = threading.Lock()

    def check(self) -> None:
        """Renew the lease now; call it before writing what the lease is about.

        Raises:
            LeaseLostError: if another has taken it over.
        """
        with self._lock:
            content = self._next_content()
            if not self._replace(content):
                raise LeaseLostError(
                    f"{self.uri} was taken over by another process, as this one was not heard of "
                    "for a while; the other one goes on from what is there"
                )
            self._content = content

    def take(self, stale_seconds: float, poll_seconds: float) -> None:
        """Wait until the lease is free, given back, or stale, and take it."""
        seen: bytes | None = b""
        since = time.monotonic()
        while True:
            found = read(self.uri)
            if found != seen:
                _tell(self.uri, found, seen)
                seen, since = found, time.monotonic()
            is_stale = time.monotonic() - since > stale_seconds
            if found is None or is_stale or _has_ended(found):
                if storage.swap_bytes(self.uri, found, self._content):
                    return
            else:
                time.sleep(poll_seconds)

    def release(self) -> None:
        """Give the lease back, unless another has taken it over."""
        with self._lock:
            self._replace(None)

    def _replace(self, content: bytes | None) -> bool:
        """Swap our lease; what is there may be our own last one, whose answer was lost."""
        if storage.swap_bytes(self.uri, self._content, content):
            return True
        found = read(self.uri)
        if found is None or _parse(found).get("holder") != self._holder["holder"]:
            return False
        return storage.swap_bytes(self.uri, found, content)

    def _next_content(self) -> bytes:
        self._beat += 1
        return json.dumps({**self._holder, "beat": self._beat}, sort_keys=True).encode()


def _keep(
    held: Held, done: threading.Event, renew_seconds: float, on_lost: Callable[[], None]
) -> None:
    while not done.wait(renew_seconds):
        try:
            held.check()
        except LeaseLostError as error:
            log.error("%s", error)
            on_lost()
            return
        except Exception as error:  # storage is away: it may come back, and then we know
            log.warning("%s could not be renewed: %s", held.uri, error)


def _end() -> None:
    os._exit(1)


def _parse(content: bytes) -> dict[str, Any]:
    return json_object(content) or {}


def _has_ended(content: bytes) -> bool:
    holder = _parse(content)
    return "pid" in holder and process.is_alive(holder) is False


def _tell(uri: str, found: bytes | None, seen: bytes | None) -> None:
    """Log who holds the lease, once for each holder."""
    if found is None:
        return
    holder = _parse(found)
    if holder.get("holder") != _parse(seen or b"").get("holder"):
        where = f"process {holder.get('pid')} on {holder.get('host')}"
        log.info("Waiting for %s, which %s holds", uri, where)
