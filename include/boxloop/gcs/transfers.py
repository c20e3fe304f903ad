"""Files of any size to and from a bucket, in parallel, with little of them in memory.

A file that arrives is written under another name and renamed when its check sum is right: what
bears its name is whole, whenever a connection or a process ends. Large ones come in several pieces
at once. They go by a resumable upload, one piece after the other: parallel ones (XML API) know no
precondition, and leave pieces that cost money where a process is killed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from boxloop.gcs.client import THREADS, insist, locate, options
from boxloop.gcs.objects import Sink, check, found
from boxloop.ordered import map_ordered

if TYPE_CHECKING:
    from google.cloud.storage import Blob

_LARGE = 96 * 2**20  # bytes; from here on a file comes in pieces
_PIECE_UP = 96 * 2**20  # bytes, a multiple of 256 KiB; held in memory
_PIECE_BESIDE_OTHERS = 8 * 2**20  # bytes, of each of THREADS uploads
_PIECE_DOWN = 32 * 2**20  # bytes; not held in memory
_BUFFER = 2**20  # bytes
_LARGE_UPLOADS = 2  # at once; each has a piece in memory

T = TypeVar("T")


def is_large(size: int | None) -> bool:
    """Whether a file of so many bytes comes in pieces."""
    return (size or 0) >= _LARGE


def spread(work: Callable[[T], object], items: Iterable[T], threads: int = THREADS) -> None:
    """Do work on many items, several at a time; the first error ends it."""
    for _ in map_ordered(work, items, threads=threads, limit=4 * threads):
        pass


def download(blob: Blob, path: Path) -> None:
    """Copy an object into a file, verified.

    Args:
        blob: with its size and generation, as a listing gives it.
        path: what is there is replaced.

    Raises:
        FileNotFoundError: if the object is gone.
    """
    uri = f"gs://{blob.bucket.name}/{blob.name}"
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    receive = _receive_pieces if is_large(blob.size) else _receive
    try:
        with found(uri):
            insist(lambda: receive(blob, part), uri)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def upload(path: Path, uri: str) -> None:
    """Copy a file to an object, verified; one that is there is replaced."""
    bucket, name = locate(uri)

    piece = _PIECE_UP if is_large(path.stat().st_size) else _PIECE_BESIDE_OTHERS

    def send() -> None:
        blob = bucket.blob(name, chunk_size=piece)
        blob.upload_from_filename(str(path), checksum="crc32c", **options())

    insist(send, uri)


def upload_all(files: Iterable[tuple[Path, str]]) -> None:
    """Copy files to objects, the large ones first."""
    small: list[tuple[Path, str]] = []
    large: list[tuple[Path, str]] = []
    for file in files:
        (large if is_large(file[0].stat().st_size) else small).append(file)
    spread(lambda file: upload(*file), large, _LARGE_UPLOADS)
    spread(lambda file: upload(*file), small)


def crc32c_of_file(path: Path) -> str:
    """Return the check sum of a file, as the bucket tells it."""
    sink = Sink(len)
    with path.open("rb") as file:
        while data := file.read(_BUFFER):
            sink.write(data)
    return sink.crc32c


def _receive(blob: Blob, part: Path) -> None:
    with part.open("wb") as file:
        sink = Sink(file.write)
        fresh = blob.bucket.blob(blob.name)
        fresh.download_to_file(sink, checksum="crc32c", **options())
    check(fresh, sink.crc32c)


def _receive_pieces(blob: Blob, part: Path) -> None:
    from google.cloud.storage import transfer_manager

    transfer_manager.download_chunks_concurrently(
        blob,
        str(part),
        chunk_size=_PIECE_DOWN,
        download_kwargs={"if_generation_match": blob.generation, **options()},
        worker_type=transfer_manager.THREAD,
        max_workers=THREADS // 2,
    )
