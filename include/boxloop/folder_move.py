"""Move a folder aside, local or on Google Cloud Storage; the part of storage.py that does."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.storage import Bucket

_THREADS = 16


def move_local(folder: Path, target: Path) -> None:
    """Move a folder at once; file by file where there is a target already."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        return
    for path in sorted(folder.iterdir()):  # somebody made it anew after an earlier move
        if path.is_dir():
            move_local(path, target / path.name)
        else:
            path.replace(target / path.name)
    folder.rmdir()


def move_blobs(bucket: Bucket, prefix: str, target: str, first: Sequence[str]) -> None:
    """Move all objects below a prefix: each is copied, then deleted.

    Args:
        bucket: where both prefixes are.
        prefix: of the objects, with a slash at its end.
        target: the prefix that they get, with a slash at its end.
        first: names below the prefix, files or folders, to go before all others, in this order.
    """
    names = [blob.name.removeprefix(prefix) for blob in bucket.list_blobs(prefix=prefix)]
    ranks = {name: _rank(name, first) for name in names}

    def move(name: str) -> None:
        blob = bucket.blob(prefix + name)
        bucket.copy_blob(blob, bucket, target + name)
        blob.delete()

    for rank in sorted(set(ranks.values())):
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(move, [name for name in names if ranks[name] == rank]))


def _rank(name: str, first: Sequence[str]) -> int:
    ranks = (i for i, begin in enumerate(first) if name == begin or name.startswith(f"{begin}/"))
    return next(ranks, len(first))
