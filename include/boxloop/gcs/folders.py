"""What lies below a prefix of a bucket: listed, copied, moved, deleted, many objects at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop.gcs import cache
from boxloop.gcs.client import THREADS, locate, options
from boxloop.gcs.objects import delete, describe
from boxloop.gcs.transfers import crc32c_of_file, download, is_large, spread, upload_all
from boxloop.ordered import map_ordered

if TYPE_CHECKING:
    from google.cloud.storage import Blob, Bucket

_FIELDS = "items(name,size,generation,crc32c,contentEncoding),nextPageToken"


def blobs_below(uri: str) -> dict[str, Blob]:
    """Return what lies below a folder by names below it, sorted.

    The empty objects that consoles make for folders are left out.
    """
    bucket, prefix = locate(uri.rstrip("/") + "/")
    blobs = bucket.list_blobs(prefix=prefix, fields=_FIELDS, **options())
    named = {blob.name.removeprefix(prefix): blob for blob in blobs}
    return {name: named[name] for name in sorted(named) if name and not name.endswith("/")}


def download_blobs(targets: Iterable[tuple[Blob, Path]], *, is_cached: bool) -> None:
    """Copy objects into files; one that is large comes in pieces, the others beside each other.

    Args:
        targets: objects as a listing gives them, and where each goes.
        is_cached: keep them on this machine for the next time, and take them from there.
    """
    copy = cache.download if is_cached else download
    small: list[tuple[Blob, Path]] = []
    large: list[tuple[Blob, Path]] = []
    for target in targets:
        target[1].parent.mkdir(parents=True, exist_ok=True)
        (large if is_large(target[0].size) else small).append(target)
    for target in large:
        copy(*target)
    spread(lambda target: copy(*target), small)


def download_objects(targets: Sequence[tuple[str, Path]]) -> None:
    """Copy objects into files, and keep them on this machine for the next time.

    Raises:
        FileNotFoundError: if there is no such object.
    """
    described = map_ordered(describe, (uri for uri, _ in targets), threads=THREADS, limit=64)
    pairs = ((blob, path) for blob, (_, path) in zip(described, targets, strict=True))
    download_blobs(pairs, is_cached=True)


def upload_folder(folder: Path, uri: str, *, last: str | None, is_mirror: bool) -> None:
    """Do on a bucket what `boxloop.storage.upload_folder` promises."""
    base, there = uri.rstrip("/"), blobs_below(uri)
    here = {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}
    for is_last in (False, True):
        names = [name for name, path in here.items() if (path.name == last) is is_last]
        changed = [name for name in names if not _is_there(here[name], there.get(name))]
        upload_all((here[name], f"{base}/{name}") for name in changed)
    if is_mirror:
        spread(delete, [f"{base}/{name}" for name in there if name not in here])


def delete_folder(uri: str) -> None:
    """Delete all objects below a folder, also those that stand for folders."""
    bucket, prefix = locate(uri.rstrip("/") + "/")
    blobs = bucket.list_blobs(prefix=prefix, fields=_FIELDS, **options())
    spread(delete, (f"gs://{bucket.name}/{blob.name}" for blob in blobs))


def move_folder(uri: str, target_uri: str, first: Sequence[str]) -> None:
    """Move all objects below a folder: each is copied, then deleted.

    Args:
        uri: of the folder.
        target_uri: of the folder that it becomes.
        first: names below the folder, files or folders, to go before all others, in this order.
    """
    bucket, prefix = locate(uri.rstrip("/") + "/")
    target = locate(target_uri.rstrip("/") + "/")[1]
    names = [b.name.removeprefix(prefix) for b in bucket.list_blobs(prefix=prefix, **options())]
    ranks = {name: _rank(name, first) for name in names}

    def move(name: str) -> None:
        move_blob(bucket, prefix + name, target + name)

    for rank in sorted(set(ranks.values())):
        spread(move, [name for name in names if ranks[name] == rank])


def move_blob(bucket: Bucket, name: str, target: str) -> None:
    """Copy an object within its bucket, then delete the first; none is there: it was moved."""
    from google.api_core.exceptions import NotFound

    try:
        bucket.copy_blob(bucket.blob(name), bucket, target, **options())
    except NotFound:
        return
    delete(f"gs://{bucket.name}/{name}")


def _is_there(path: Path, blob: Blob | None) -> bool:
    """Whether an object has a file's content already."""
    return (
        blob is not None
        and blob.size == path.stat().st_size
        and blob.crc32c == crc32c_of_file(path)
    )


def _rank(name: str, first: Sequence[str]) -> int:
    ranks = (i for i, begin in enumerate(first) if name == begin or name.startswith(f"{begin}/"))
    return next(ranks, len(first))
