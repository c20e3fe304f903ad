"""Files of gs:// on this machine, and back; the part of storage.py for whole files and folders."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from boxloop.gcs import folders, objects, transfers
from boxloop.uris import is_remote, safe_join


@contextlib.contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """Give a folder's content as local files, for libraries that know nothing of gs://.

    A local folder is given as it is. Reading only: see `upload_folder` for the other way.
    """
    if not is_remote(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="boxloop-") as folder:
        _download(uri, Path(folder), is_cached=True)
        yield Path(folder)


@contextlib.contextmanager
def local_files(uris: Sequence[str]) -> Iterator[list[Path]]:
    """Give objects as local files, in order; local ones are given as they are. Reading only.

    Raises:
        FileNotFoundError: if there is no such object on gs://.
    """
    with tempfile.TemporaryDirectory(prefix="boxloop-") as folder:
        paths = [Path(uri) for uri in uris]
        for index, uri in enumerate(uris):
            if is_remote(uri):
                paths[index] = Path(folder) / f"{index:05d}-{paths[index].name}"
        targets = [(uri, path) for uri, path in zip(uris, paths, strict=True) if is_remote(uri)]
        folders.download_objects(targets)
        yield paths


@contextlib.contextmanager
def working_folder(uri: str) -> Iterator[Path]:
    """Give a local folder to fill for a URI, holding what is there already.

    For a local URI it is the folder itself. For gs:// it is a copy, and what was added reaches
    the bucket by `upload_folder` only.
    """
    if not is_remote(uri):
        Path(uri).mkdir(parents=True, exist_ok=True)
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="boxloop-") as folder:
        download_folder(uri, Path(folder))
        yield Path(folder)


def download_folder(uri: str, folder: Path) -> None:
    """Copy everything below a gs:// folder into a local one, in parallel."""
    _download(uri, folder, is_cached=False)


def download_file(uri: str, path: Path) -> None:
    """Copy a gs:// object of any size into a local file, which is whole or not there.

    Raises:
        FileNotFoundError: if there is none.
    """
    transfers.download(objects.describe(uri), path)


def upload_folder(
    folder: Path, uri: str, *, last: str | None = None, is_mirror: bool = False
) -> None:
    """Copy a local folder to a URI, local or gs://; does nothing where both are the same.

    On gs:// what is there already with the same content is not copied again.

    Args:
        folder: where the files are.
        uri: where they go.
        last: name of the file, in whatever sub-folder, that tells readers of gs:// that the others
            are there.
        is_mirror: what is not in the folder any more is deleted from gs://, in the end.
    """
    if is_remote(uri):
        folders.upload_folder(folder, uri, last=last, is_mirror=is_mirror)
    elif folder.resolve() != Path(uri).resolve():
        shutil.copytree(folder, uri, dirs_exist_ok=True)


def _download(uri: str, folder: Path, *, is_cached: bool) -> None:
    targets = [
        (blob, Path(safe_join(str(folder), name)))
        for name, blob in folders.blobs_below(uri).items()
    ]
    folders.download_blobs(targets, is_cached=is_cached)
