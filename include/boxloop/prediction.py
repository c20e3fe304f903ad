"""The step that detects in the pool: part by part, so that a killed task goes on where it was."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.ledger import Value, exported_digest
from boxloop.pool_parts import (
    Part,
    build_parts,
    left_over,
    missing,
    not_whole,
    own_share,
    read_signs,
    take_back,
)
from boxloop.progress import Stopwatch, tell
from boxloop.settings import PredictConfig

if TYPE_CHECKING:
    import pandas as pd

    from boxloop.inference.engine import Engine
    from boxloop.inference.portable import Spec
    from boxloop.inference.stream import Detections, Unreadable

    Opened = tuple[Engine, Spec]

IMAGES_A_LINE = 50  # of progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What is to be detected, and by what; it decides the parts, whoever makes them."""

    run: Run
    round_number: int
    """Whose model detects."""
    candidates: pd.DataFrame
    """image_id, uri and sha256 of each image."""
    config: PredictConfig
    with_agreement: bool = False
    """Fill the column `agreement`, at three times the cost."""
    with_embeddings: bool = False
    """Write what boxloop.embeddings reads, at no cost; of an older model nothing is in it."""

    def parts(self) -> list[Part]:
        """Return the parts of the pool."""
        if self.candidates.empty:
            return []
        model = storage.digest(f"{self.run.model(self.round_number)}/bundle.json")
        decided_by = [model, asdict(self.config), self.with_agreement, self.with_embeddings]
        where = (self.run, self.round_number, self.candidates)
        return build_parts(*where, self.config.part_size, decided_by)


def predict(pool: Pool, *, workers: int = 1) -> Value:
    """Detect in what is left of the candidate images, and tell of all of them.

    A part is its detections, its images' embeddings where they are asked for, and last, as a sign
    that all is whole, the images that could not be read. Its name has all that decides it, so it is
    never taken for another, nor made again, but where images could not be read: they may be back.

    Args:
        pool: what to detect.
        workers: how many tasks have done their shares before; of more than one, what they say of
            images that could not be read is not doubted.

    Returns:
        `detections_uris`; `embeddings_uris`, none where they are not asked for; `images`, their
        number; `unreadable`, why some are.

    Raises:
        ValueError: if the bundle is damaged, or none of several images can be read.
    """
    parts = pool.parts()
    _detect_parts(pool, missing(parts) if workers > 1 else not_whole(parts), len(pool.candidates))
    unreadable = {k: v for sign in read_signs(parts) for k, v in (sign or {}).items()}
    try:
        check_readable(unreadable, len(pool.candidates))
    except ValueError:
        take_back(parts)  # the next attempt looks again, whichever task it is of
        raise
    return {
        "detections_uris": [part.uri for part in parts],
        "embeddings_uris": [part.embeddings for part in parts] if pool.with_embeddings else [],
        "images": len(pool.candidates),
        "unreadable": unreadable,
    }


def predict_share(pool: Pool, worker: int, workers: int) -> Value:
    """Detect in a worker's share of the parts, then in what other workers have not come to.

    Args:
        pool: what to detect.
        worker: its number, from 1.
        workers: how many there are.

    Returns:
        `parts` and `images`, how many it has made.

    Raises:
        ValueError: if the bundle is damaged.
    """
    parts = pool.parts()
    share = own_share(parts, worker, workers)
    left = chain(not_whole(share), left_over(parts, worker, workers))
    made, images = _detect_parts(pool, left, sum(len(part.images) for part in share))
    return {"parts": made, "images": images}


def open_bundle(
    folder: Path, config: PredictConfig, digest: str | None = None, *, where: str = ""
) -> Opened:
    """Load the model of a bundle, once its files are known to be whole, and the digest its own.

    Args:
        folder: the bundle.
        config: what detects, and how.
        digest: that the bundle must have, where it is known.
        where: the folder is a copy of, for messages.

    Raises:
        ValueError: if they are not.
    """
    from boxloop.bundle import read_bundle
    from boxloop.inference.engine import open_engine
    from boxloop.inference.portable import MODEL, Spec

    bundle = read_bundle(folder, digest, where=where)
    spec = Spec.of(bundle)
    has_tflite = MODEL in bundle["files"]
    engine = open_engine(
        folder, spec, config.engine, has_tflite=has_tflite, batch_size=config.batch_size
    )
    return engine, spec


def detect(
    opened: Opened, images: pd.DataFrame, *, with_agreement: bool = False
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Detect in images with a loaded bundle.

    Args:
        opened: what `open_bundle` returned.
        images: image_id and uri of each.
        with_agreement: fill the column `agreement`, at three times the cost.

    Returns:
        A table with DETECTION_COLUMNS, in the order of the images; and why images cannot be read.
    """
    from boxloop.inference.stream import detect_all, to_table

    engine, spec = opened
    named = zip(images["image_id"], images["uri"], strict=True)
    results = detect_all(engine, spec, named, with_agreement=with_agreement)
    found, unreadable = _collect(results, done=0, total=len(images))
    return to_table(found, spec.classes), unreadable


def _collect(
    results: Iterable[Detections | Unreadable], *, done: int, total: int
) -> tuple[list[Detections], dict[str, str]]:
    """Return what was detected and why images cannot be read; tell progress meanwhile.

    Args:
        results: as `detect_all` gives them.
        done: images before these.
        total: all images there are to do.
    """
    from boxloop.inference.stream import Detections

    found: list[Detections] = []
    unreadable: dict[str, str] = {}
    watch = Stopwatch()
    for count, result in enumerate(results, start=done + 1):
        if isinstance(result, Detections):
            found.append(result)
        else:
            unreadable[result.image_id] = result.reason
        if count % IMAGES_A_LINE == 0:
            speed = watch.rate(IMAGES_A_LINE)
            tell(step=count, steps=total, images_per_second=speed)
    return found, unreadable


def check_readable(unreadable: dict[str, str], num_images: int) -> None:
    """Raise ValueError if none of several images can be read: then the fault is elsewhere."""
    if len(unreadable) == num_images > 1:
        name, reason = next(iter(unreadable.items()))
        raise ValueError(f"none of {num_images} images can be read: {name}: {reason}")


def _detect_parts(pool: Pool, parts: Iterator[Part], total: int) -> tuple[int, int]:
    """Detect in parts one after the other; without any, the model is not even loaded.

    Args:
        pool: what they are of.
        parts: the next is asked for when one is done.
        total: images to tell progress of; more, if there prove to be more.

    Returns:
        How many parts it has made, and of how many images.
    """
    first = next(parts, None)
    if first is None:
        return 0, 0
    count, images = 0, 0
    model, digest = pool.run.model(pool.round_number), exported_digest(pool.run, pool.round_number)
    with storage.local_folder(model) as folder:
        opened = open_bundle(folder, pool.config, digest, where=model)
        for part in chain([first], parts):
            log.info("%s: %d images", part.uri.rpartition("/")[2], len(part.images))
            _detect_part(pool, opened, part, images, max(total, images + len(part.images)))
            count, images = count + 1, images + len(part.images)
    return count, images


def _detect_part(pool: Pool, opened: Opened, part: Part, done: int, total: int) -> None:
    from boxloop.inference.stream import detect_all

    engine, spec = opened
    results = detect_all(
        engine,
        spec,
        zip(part.images["image_id"], part.images["uri"], strict=True),
        with_agreement=pool.with_agreement,
        with_embeddings=pool.with_embeddings,
    )
    found, unreadable = _collect(results, done=done, total=total)
    _write_part(part, found, spec.classes, pool.with_embeddings)
    storage.write_json(part.sign, unreadable)


def _write_part(
    part: Part, found: Sequence[Detections], classes: Sequence[str], with_embeddings: bool
) -> None:
    from boxloop import embeddings
    from boxloop.data.dataset import to_parquet
    from boxloop.inference.stream import to_table

    storage.write_bytes(part.uri, to_parquet(to_table(found, classes)))
    if with_embeddings:
        vectors = {each.image_id: each.embedding for each in found if each.embedding is not None}
        if len(vectors) < len(found):
            log.warning("No embeddings: the model was exported before there were any")
        storage.write_bytes(part.embeddings, embeddings.to_parquet(vectors))
