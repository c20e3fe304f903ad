"""Digests of what is written, taken while it is written; `boxloop verify` holds files against them.

Nothing is read again for them. Storage tells each object that it writes; whoever records gets the
sha256 and size of those that were written meanwhile. This module touches no file but those of a
folder that it is given.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from boxloop.contents import CHECKPOINTS, LEASES, MARKERS, NOTES, TIMINGS, content_of

FORMAT = 1
"""Of the files that hold digests; raised when an older Boxloop could not read them."""

_PASSING = {MARKERS, TIMINGS, NOTES, CHECKPOINTS, LEASES}
"""What tells of itself, is rewritten later, or serves a training that goes on alone."""


class Digest(NamedTuple):
    """What an object holds."""

    sha256: str
    size: int
    """Bytes."""


Written = dict[str, Digest]
"""By URI."""

_recordings: list[Written] = []
_lock = threading.Lock()


@contextlib.contextmanager
def recording() -> Iterator[Written]:
    """Give the digests of all objects that this process writes while the block lasts."""
    written: Written = {}
    with _lock:
        _recordings.append(written)
    try:
        yield written
    finally:
        with _lock:
            _recordings[:] = [one for one in _recordings if one is not written]


def note(uri: str, data: bytes | None) -> None:
    """Record that an object was written, or deleted, if anybody records.

    Args:
        uri: of the object.
        data: its content; None: it was deleted.
    """
    if _recordings:
        _tell(uri, None if data is None else of(data))


def of(data: bytes) -> Digest:
    """Return the digest of an object's content."""
    return Digest(hashlib.sha256(data).hexdigest(), len(data))


def note_folder(folder: Path, uri: str) -> None:
    """Record files that a library wrote into a folder, which is or will be that of a URI."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        _tell(f"{uri}/{path.relative_to(folder).as_posix()}", Digest(sha256, path.stat().st_size))


def build(run_uri: str, written: Mapping[str, Digest]) -> dict[str, Any]:
    """Return what is kept of a recording: the files of a run, by their names below it.

    Args:
        run_uri: the run's folder.
        written: what `recording` gave; what lies elsewhere, and what passes, is left out.
    """
    own = {
        uri.removeprefix(f"{run_uri}/"): list(found)
        for uri, found in sorted(written.items())
        if uri.startswith(f"{run_uri}/")
    }
    files = {name: found for name, found in own.items() if content_of(name).kind not in _PASSING}
    return {"format": FORMAT, "files": files}


def parse(value: Mapping[str, Any], where: str) -> dict[str, Digest]:
    """Return the digests in a file, by names below the run.

    Raises:
        ValueError: if it is none, or of a newer version of Boxloop.
    """
    if (found := value.get("format")) != FORMAT:
        raise ValueError(
            f"{where} has format {found!r}, {FORMAT} is needed: bring Boxloop up to date"
        )
    return {str(name): Digest(str(one[0]), int(one[1])) for name, one in value["files"].items()}


def _tell(uri: str, found: Digest | None) -> None:
    with _lock:
        for written in _recordings:
            if found is None:
                written.pop(uri, None)
            else:
                written[uri] = found
