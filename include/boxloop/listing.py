"""What lies below a local folder; the part of storage.py that walks it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Listing(NamedTuple):
    """What lies below a folder, by names below it; what is hidden is left out."""

    files: list[str]
    """Sorted; also those that a link leads to."""
    links_out: set[str]
    """Links that lead out of the folder, nowhere, or to another folder."""
    locked: set[str]
    """Folders that may not be listed."""


class Stamp(NamedTuple):
    """What is known of a file that nobody has opened."""

    size: int
    """Bytes."""
    text: str
    """Another one whenever the file is another."""


def list_local(path: str) -> Listing:
    """Return what lies below a local folder, nothing where there is none."""
    folder = Path(path).resolve()
    found = Listing([], set(), set())
    for name, entry in _walk(path, found.locked):
        if _is_file(entry):
            found.files.append(name)
        if entry.is_symlink() and not _leads_to_file_in(folder, entry):
            found.links_out.add(name)
    found.files.sort()
    return found


def stamp_local(path: str) -> dict[str, Stamp]:
    """Return the stamps of all files below a local folder but those that go away meanwhile."""
    stamps = {}
    for name in list_local(path).files:
        with contextlib.suppress(FileNotFoundError):
            found = Path(path, name).lstat()
            text = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"
            stamps[name] = Stamp(found.st_size, text)
    return stamps


def list_leftovers(path: str, *, older_than: float) -> dict[str, int]:
    """Return the files that writers who were killed have left below a local folder, with sizes.

    Args:
        path: of the folder; links are not followed.
        older_than: seconds since the last change, so that nobody writes it any more.
    """
    found, before = {}, time.time() - older_than
    for folder, _, names in os.walk(path):
        for name in names:
            if name.startswith(".") and not name.endswith(".lock"):
                file = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    stat = file.lstat()
                    if stat.st_mtime < before:
                        found[file.relative_to(path).as_posix()] = stat.st_size
    return dict(sorted(found.items()))


def delete_empty(path: str) -> None:
    """Delete the folders below a local one, and itself, that hold nothing; follow no link."""
    for folder, _, _ in os.walk(path, topdown=False):
        with contextlib.suppress(OSError):  # it holds something
            Path(folder).rmdir()


def _walk(folder: str, locked: set[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Give name and entry of all below a local folder but real folders and what is hidden.

    Args:
        folder: where to begin; nothing is given where there is none.
        locked: gets the names of folders that may not be listed.
    """
    waiting = [(folder, "")]
    while waiting:
        path, prefix = waiting.pop()
        try:
            entries = list(os.scandir(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            locked.add(prefix.rstrip("/"))
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, f"{name}/"))
            else:
                yield name, entry


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _leads_to_file_in(folder: Path, link: os.DirEntry[str]) -> bool:
    try:
        return link.is_file() and Path(link).resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # a link to itself
        return False


def is_hidden(relative: str) -> bool:
    """Whether a part of a name below a folder begins with a dot."""
    return any(part.startswith(".") for part in relative.split("/"))
