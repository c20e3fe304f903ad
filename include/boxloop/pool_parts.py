"""The parts that the candidate pool is detected in, and which of them a worker does next.

Parts hang on the pool and the settings alone, never on the number of workers. No part is claimed:
a worker does its own share from the front, then what others have not come to from the back, and
looks before each whether it is there by now. Where two meet they make the same part: on machines of
one kind of the same bytes, on unlike ones the last one's stay. Where one dies, the others have its
parts. So there is no claim to go stale, and nobody to wait for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from boxloop import storage
from boxloop.artifacts import Run

if TYPE_CHECKING:
    import pandas as pd

Sign = dict[str, str] | None
"""Images of a part that could not be read, with reasons; None: the part is not there."""

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """Some images of the pool, and where their detections go."""

    uri: str
    images: pd.DataFrame
    """image_id, uri and sha256 of each."""

    @property
    def sign(self) -> str:
        """URI of the file that is written last, and says that the part is whole."""
        return sign_of(self.uri)

    @property
    def embeddings(self) -> str:
        """URI of the embeddings of the part's images."""
        return self.uri.removesuffix(".parquet") + ".embeddings.parquet"


def sign_of(uri: str) -> str:
    """Return the URI of the sign of a part, of which only the URI of its detections is known."""
    return uri.removesuffix(".parquet") + ".unreadable.json"


def build_parts(
    run: Run, round_number: int, images: pd.DataFrame, size: int, decided_by: Sequence[object]
) -> list[Part]:
    """Return the parts of a pool, named by all that decides their detections.

    Args:
        run: the run.
        round_number: from 1.
        images: of the pool.
        size: the most images of a part. All parts are of about one size: of a few images at the
            end perhaps none could be read.
        decided_by: model and settings, as JSON.
    """
    number = math.ceil(len(images) / size)
    step = math.ceil(len(images) / max(1, number))
    cuts = [images.iloc[step * i : step * (i + 1)] for i in range(number)]
    return [
        Part(run.detections(round_number, i, number, _digest(cut, decided_by)), cut)
        for i, cut in enumerate(cuts, start=1)
    ]


def read_signs(parts: Sequence[Part]) -> list[Sign]:
    """Return the sign of each part, read by several threads where that pays."""
    names = [part.sign for part in parts]
    threads = storage.readers(names[0]) if names else 1
    return list(storage.map_files(_read_sign, names, threads=threads))


def own_share(parts: Sequence[Part], worker: int, workers: int) -> list[Part]:
    """Return the parts that a worker begins with.

    Args:
        parts: of the whole pool.
        worker: its number, from 1.
        workers: how many there are.
    """
    return list(parts[worker - 1 :: workers])


def not_whole(parts: Sequence[Part]) -> Iterator[Part]:
    """Give the parts that are not there, or in which images could not be read: they may be back.

    Not those that another has made in the meantime.
    """
    found = list(zip(parts, read_signs(parts), strict=True))
    left = [(part, sign) for part, sign in found if sign != {}]
    if len(left) < len(found):
        log.info("%d of %d parts are there already", len(found) - len(left), len(found))
    return (part for part, sign in left if _read_sign(part.sign) == sign)


def left_over(parts: Sequence[Part], worker: int, workers: int) -> Iterator[Part]:
    """Give the parts of other workers that none of them has come to, the last first.

    Workers begin at different ends, so that they seldom meet. Nothing is read before the first is
    asked for.
    """
    others = [
        part
        for each in range(worker + workers - 1, worker, -1)
        for part in reversed(own_share(parts, (each - 1) % workers + 1, workers))
    ]
    yield from missing(others)


def missing(parts: Sequence[Part]) -> Iterator[Part]:
    """Give the parts that are not there, also not by the time that they are asked for."""
    found = zip(parts, read_signs(parts), strict=True)
    left = [part for part, sign in found if sign is None]
    return (part for part in left if _read_sign(part.sign) is None)


def take_back(parts: Iterable[Part]) -> None:
    """Delete the signs of parts, so that each is made again."""
    for part in parts:
        storage.delete(part.sign)


def _read_sign(uri: str) -> Sign:
    try:
        return dict(storage.read_json(uri))
    except FileNotFoundError:
        return None


def _digest(images: pd.DataFrame, decided_by: Sequence[object]) -> str:
    """Digest all that decides a part's detections."""
    inputs = [*decided_by, images[["image_id", "sha256"]].to_numpy().tolist()]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
