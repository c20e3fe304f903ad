"""Hold the images of a run's data against the digests in its data set."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from boxloop import moved, ordered, storage
from boxloop.artifacts import Run
from boxloop.checks import DAMAGED, MISSING, OK, Finding
from boxloop.contents import IMAGES
from boxloop.listing import Stamp

_AHEAD = 256  # images under work at a time, at the most
_THREADS = 4  # of local images; most of the time is spent in digests, without Python's lock


def count_images(run: Run, names: Mapping[str, Stamp]) -> int:
    """Return how many images a run has, 0 where its newest data set cannot be read."""
    table = _newest(run, names)
    return 0 if table is None else table.metadata.num_rows


def check_images(run: Run, names: Mapping[str, Stamp]) -> Iterator[Finding]:
    """Check each image of a run's newest data set, a few at a time.

    Args:
        run: the run.
        names: of all files below it.
    """
    table = _newest(run, names)
    if table is None:
        return
    rules = moved.rules(run.uri)
    rows = (
        (moved.apply(uri, rules), sha256)
        for batch in table.iter_batches(columns=["uri", "sha256"])
        for uri, sha256 in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
    threads = max(_THREADS, storage.readers(run.uri))
    yield from ordered.map_ordered(_check, rows, threads=threads, limit=_AHEAD)


def _newest(run: Run, names: Mapping[str, Stamp]) -> pq.ParquetFile | None:
    found = [n for n in names if n.startswith("dataset/round_") and n.endswith("/images.parquet")]
    try:
        data = storage.read_bytes(f"{run.uri}/{max(found)}") if found else b""
        return pq.ParquetFile(io.BytesIO(data)) if data else None
    except (OSError, pa.ArrowInvalid):  # told of as damaged
        return None


def _check(image: tuple[str, str | None]) -> Finding:
    uri, sha256 = image
    try:
        found = hashlib.sha256(storage.read_bytes(uri)).hexdigest()
    except FileNotFoundError:
        detail = "put it back, or say where it lies now: boxloop moved"
        return Finding(IMAGES, MISSING, uri, detail)
    except OSError as error:
        return Finding(IMAGES, DAMAGED, uri, f"cannot be read ({error})")
    if found != sha256:
        detail = "is another picture than when the run began; put the old one back"
        return Finding(IMAGES, DAMAGED, uri, detail)
    return Finding(IMAGES, OK, uri)
