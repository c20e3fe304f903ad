"""Checkpoints of a training on gs://, copied there while the training goes on.

A machine may vanish: what it had copied is enough to go on from, on another one. Each copy is of
the folder as it was at a checkpoint; while it is under way the training works on. Data come first,
the file `checkpoint`, which readers trust, last, and what the training has deleted goes after that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from boxloop import storage

_NEVER_CHANGED = (".index", ".data-")  # parts of the names of TensorFlow's own files

log = logging.getLogger(__name__)


@contextlib.contextmanager
def keep_checkpoints(
    folder: Path, uri: str, *, check: Callable[[], object]
) -> Iterator[Callable[[], None]]:
    """Give a function that keeps a folder of checkpoints as it is now; call it after each of them.

    It returns at once, unless the copy before is still under way: then it waits for that one. What
    went wrong with a copy is raised by the next call, or in the end, which waits for the last copy,
    whatever has ended the training.

    Args:
        folder: of the training.
        uri: where checkpoints are kept; for a local one, which is the folder, nothing is copied.
        check: raises if this process may not write there any more.
    """
    if not storage.is_remote(uri):
        yield partial(_only_check, check)
        return
    under_way: list[Future[None]] = []
    with ThreadPoolExecutor(1, "checkpoints") as pool:

        def keep() -> None:
            while under_way:
                under_way.pop().result()
            check()
            under_way.append(pool.submit(_copy, _snapshot(folder), uri, check))

        try:
            yield keep
        finally:
            for copy in under_way:
                _finish(copy)


def _only_check(check: Callable[[], object]) -> None:
    check()


def _finish(copy: Future[None]) -> None:
    """Wait for a copy; what the training has ended with tells more than what the copy has."""
    is_ending = sys.exc_info()[0] is not None
    try:
        copy.result()
    except Exception as error:
        if not is_ending:
            raise
        log.warning("The last checkpoint could not be kept: %s", error)


def _snapshot(folder: Path) -> Path:
    """Return a copy of a folder; files that never change are in it by another name, at no cost."""
    target = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    for path in sorted(folder.rglob("*")):
        copy = target / path.relative_to(folder)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        elif any(part in path.name for part in _NEVER_CHANGED):
            os.link(path, copy)
        else:
            shutil.copyfile(path, copy)
    return target


def _copy(snapshot: Path, uri: str, check: Callable[[], object]) -> None:
    try:
        check()
        storage.upload_folder(snapshot, uri, last="checkpoint", is_mirror=True)
        log.info("Checkpoint kept in %s", uri)
    finally:
        shutil.rmtree(snapshot, ignore_errors=True)
