"""Single files out of .tar.gz, .zip and .whl archives, whatever names their members have.

Nothing is written under a path that an archive names: who asks gets bytes, or files of the
member's last name in a folder of ours.
"""

from __future__ import annotations

import contextlib
import errno
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

LARGEST = 4 * 2**30
"""Bytes of the largest member that is read."""

_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(IndexError, OverflowError, RuntimeError, UnicodeError),  # encrypted, or nonsense in a header
)
_BROKEN_ERRNO = (None, errno.EINVAL)
"""Of an OSError that is about what is in an archive, and not about a disk."""


def is_archive(path: Path) -> bool:
    """Whether a file is an archive that can be read here."""
    if not path.is_file():
        return False
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _BROKEN:  # a compressed file that is cut short
        return False


def read_member(archive: Path, name: str) -> bytes:
    """Return a file in an archive.

    Args:
        archive: the archive.
        name: of the file, or its end: `weights/a.pt` finds `package/weights/a.pt`.

    Raises:
        ValueError: if there is no such file, or the archive is broken.
    """
    with _opened(archive) as members:
        for member in members:
            if _ends_with(member.name, name):
                with member.open() as stream:
                    return stream.read()
    raise ValueError(f"{archive}: has no file {name}")


def extract_checkpoint(archive: Path, prefix: str | None, folder: Path) -> None:
    """Write the files of a checkpoint in an archive to a folder, without the folders around them.

    Args:
        archive: the archive.
        prefix: of the checkpoint's files, such as ckpt-33264; None: all checkpoints.
        folder: gets the files.

    Raises:
        ValueError: if there is no such checkpoint, or the archive is broken.
    """
    found = False
    with _opened(archive) as members:
        for member in members:
            stem, _, kind = member.name.rpartition(".")
            is_part = kind == "index" or kind.startswith("data-")
            if is_part and (prefix is None or _ends_with(stem, prefix)):
                found = True
                with member.open() as stream, (folder / Path(member.name).name).open("wb") as file:
                    shutil.copyfileobj(stream, file, 2**20)
    if not found:
        raise ValueError(f"{archive}: has no checkpoint {prefix or '*'}.index")


class _Member(NamedTuple):
    name: str
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    """Give the files in an archive; what goes wrong in reading them is a ValueError."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield _zip_members(file)
        else:
            with tarfile.open(archive) as tar:
                yield _tar_members(tar)
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _BROKEN_ERRNO:
            raise
        raise ValueError(f"{archive}: is no archive that can be read: {error}") from error


def _zip_members(file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in file.infolist():
        if not info.is_dir():
            _check_size(info.filename, info.file_size)
            yield _Member(info.filename, partial(file.open, info))


def _tar_members(tar: tarfile.TarFile) -> Iterator[_Member]:
    for info in tar:
        if info.isfile():  # links and devices are left out
            _check_size(info.name, info.size)
            yield _Member(info.name, partial(_open_tar, tar, info))


def _open_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], tar.extractfile(info))


def _check_size(name: str, size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"{name} in an archive is larger than {LARGEST / 1e9:.1f} GB")


def _ends_with(path: str, end: str) -> bool:
    return f"/{path}".endswith(f"/{end}")
