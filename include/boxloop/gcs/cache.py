"""Objects kept on this machine: what many rounds read is fetched once, and never served stale.

Each lies in a file of its own, `<sha256 of its name>/<generation>.<CRC32C>`, and is compared with
that check sum whenever it is read. A generation is one content of an object, for good: another
content has another one. So a file is right as long as the bucket says that the object still has
its generation, by a listing or by an answer without content (304).

BOXLOOP_CACHE says where, as for weights; BOXLOOP_CACHE_GB how much at the most, 0: keep nothing.
Any number of processes may share it, and be killed.

Source: https://cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from boxloop.caches import cache_root
from boxloop.gcs import objects, transfers

if TYPE_CHECKING:
    from google.cloud.storage import Blob

LIMIT = "BOXLOOP_CACHE_GB"
_DEFAULT_GB = 10.0
_LOOK_EVERY = 0.02  # of the limit that this process has added, until it looks at the whole again
_FULL = 0.95  # of the limit: from here on something has to go, until
_EASED = 0.85  # of it is left; what several processes add meanwhile has the rest
_LEFT_OVER = 86400.0  # seconds, until what a killed process was writing is deleted
_PARTS = "parts"

log = logging.getLogger(__name__)
_lock = threading.Lock()
_added: dict[Path, float] = {}
_told: set[Path] = set()  # folders that cannot be written, once each


class Entry(NamedTuple):
    """An object that is kept."""

    path: Path
    generation: int
    crc32c: str


def folder() -> Path:
    """Return where objects are kept."""
    return cache_root() / "objects"


def limit() -> int:
    """Return how many bytes are kept at the most.

    Raises:
        ValueError: if the setting is no number.
    """
    text = os.environ.get(LIMIT) or str(_DEFAULT_GB)
    try:
        return max(0, int(float(text) * 1e9))
    except (ValueError, OverflowError):
        raise ValueError(f"{LIMIT} must be a number of GB, 0 for none, got {text!r}") from None


def read(uri: str) -> bytes:
    """Return an object's content, from here if the bucket says that it is still that.

    Raises:
        FileNotFoundError: if there is none in the bucket.
    """
    from google.api_core.exceptions import NotModified

    if not limit():
        return objects.read(uri)
    entry = _find(uri)
    known = _content(entry) if entry else None
    try:
        unlike = entry.generation if entry and known is not None else None
        blob, data = objects.fetch(uri, unlike=unlike)
    except NotModified:
        if entry is None or known is None:
            raise
        _touch(entry.path)
        return known
    if blob.generation and blob.crc32c == objects.crc32c_of(data):
        _keep(uri, int(blob.generation), blob.crc32c, lambda part: part.write_bytes(data))
    return data


def download(blob: Blob, path: Path) -> None:
    """Copy an object into a file that is read only, from here if its generation is here."""
    uri = f"gs://{blob.bucket.name}/{blob.name}"
    room = limit()
    if not room or not blob.generation or not blob.crc32c or (blob.size or 0) > room / 2:
        transfers.download(blob, path)
        return
    entry = _find(uri)
    if entry and entry.generation == blob.generation and _link(entry, path):
        return
    transfers.download(blob, path)
    crc32c = transfers.crc32c_of_file(path)
    _keep(uri, blob.generation, crc32c, lambda part: _link_or_copy(path, part))


def _place(uri: str) -> Path:
    name = hashlib.sha256(uri.encode()).hexdigest()
    return folder() / name[:2] / name[2:40]


def _find(uri: str) -> Entry | None:
    """Return the newest entry of an object."""
    with contextlib.suppress(OSError, ValueError):
        entries = []
        for path in _place(uri).iterdir():
            generation, _, crc32c = path.name.partition(".")
            entries.append(Entry(path, int(generation), crc32c.replace("_", "/")))
        return max(entries, key=lambda entry: entry.generation, default=None)
    return None


def _content(entry: Entry) -> bytes | None:
    """Return what is kept; None if it is gone, or damaged: then it is deleted."""
    try:
        data = entry.path.read_bytes()
    except OSError:
        return None
    if objects.crc32c_of(data) == entry.crc32c:
        return data
    _discard(entry)
    return None


def _link(entry: Entry, path: Path) -> bool:
    """Put what is kept into a place; whether it is there and undamaged."""
    try:
        _link_or_copy(entry.path, path)
        if transfers.crc32c_of_file(path) == entry.crc32c:
            _touch(entry.path)
            return True
    except OSError:
        return False
    path.unlink()
    _discard(entry)
    return False


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)


def _discard(entry: Entry) -> None:
    log.warning("%s is damaged; it is fetched anew", entry.path)
    entry.path.unlink(missing_ok=True)


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(path)


def _keep(uri: str, generation: int, crc32c: str, fill: Callable[[Path], object]) -> None:
    """Keep a content, in the place of other generations; that it cannot be is no reason to fail."""
    part = folder() / _PARTS / uuid.uuid4().hex
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        fill(part)
        size = part.stat().st_size
        part.chmod(0o444)
        _give_name(part, _place(uri) / f"{generation}.{crc32c.replace('/', '_')}")
        _note(size)
    except OSError as error:
        _tell(error)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _tell(error: OSError) -> None:
    if folder() not in _told:
        _told.add(folder())
        hint = f"set BOXLOOP_CACHE to a folder that can be written, or {LIMIT}=0"
        log.warning("Objects cannot be kept in %s: %s; %s", folder(), error, hint)


def _give_name(part: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(path)
    for other in path.parent.iterdir():
        if other != path:
            other.unlink(missing_ok=True)


def _note(size: int) -> None:
    """Make room when enough was added, and at the first addition of a process."""
    with _lock:
        first = folder() not in _added
        _added[folder()] = _added.get(folder(), 0.0) + size
        if not first and _added[folder()] < _LOOK_EVERY * limit():
            return
        _added[folder()] = 0.0
    _make_room()


def _make_room() -> None:
    """Delete what was not used for longest, if there is too much; one process at a time does."""
    with (folder() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        found = _all_entries()
        held = sum(size for _, size, _ in found)
        room = min(limit(), (held + shutil.disk_usage(folder()).free) // 2)
        if held <= _FULL * room:
            return
        for _, size, path in sorted(found):
            if held <= _EASED * room:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                held -= size
                path.parent.rmdir()


def _all_entries() -> list[tuple[float, int, Path]]:
    """Return when each entry was used, its bytes and its file; delete what kills have left."""
    found = []
    for path in folder().glob("*/*/*"):
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, path))
    for part in (folder() / _PARTS).glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _LEFT_OVER:
                part.unlink()
    return found
