"""The step that detects in the pool: part by part, so that a killed task goes on where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.ledger import Value
from boxloop.progress import Stopwatch, tell
from boxloop.settings import PredictConfig

if TYPE_CHECKING:
    import pandas as pd

    from boxloop.inference.engine import Engine
    from boxloop.inference.portable import Spec
    from boxloop.inference.stream import Detections, Unreadable

    Opened = tuple[Engine, Spec]

IMAGES_A_PART = 500  # what a killed task loses at the most: some seconds on a CPU
IMAGES_A_LINE = 50  # of progress

log = logging.getLogger(__name__)


def predict(
    run: Run,
    round_number: int,
    candidates: pd.DataFrame,
    config: PredictConfig,
    *,
    with_agreement: bool = False,
    with_embeddings: bool = False,
    shard: int,
    num_shards: int,
) -> Value:
    """Detect in this shard's share of the candidate images, dealt by a stable hash.

    A part is its detections, its images' embeddings where they are asked for, and last, as a sign
    that all is whole, the images that could not be read. Its name has all that decides it, so it is
    never taken for another, nor made again, but where images could not be read: they may be back.

    Args:
        run: what to detect for.
        round_number: whose model detects.
        candidates: image_id, uri and sha256 of each image.
        config: engine and batch size.
        with_agreement: fill the column `agreement`, at three times the cost.
        with_embeddings: write what boxloop.embeddings.read_embeddings reads, at no cost; for the
            images of a model that was exported before there were any, nothing is in it.
        shard: number of this shard, from 0.
        num_shards: how many there are.

    Returns:
        `detections_uris`; `embeddings_uris`, none where they are not asked for; `images`, their
        number; `unreadable`, why some are.

    Raises:
        ValueError: if the bundle is damaged, or none of several images can be read.
    """
    images = _share(candidates, shard, num_shards)
    parts = _parts(images)
    model_digest = storage.digest(f"{run.model(round_number)}/bundle.json") if parts else ""
    decided_by = [model_digest, asdict(config), with_agreement, with_embeddings]
    uris = [
        run.detections(round_number, shard, num_shards, number, _digest(part, decided_by))
        for number, part in enumerate(parts, start=1)
    ]
    if missing := _missing(uris, parts):
        with storage.local_folder(run.model(round_number)) as folder:
            _detect_parts(folder, missing, config, with_agreement, with_embeddings)
    unreadable = {k: v for uri in uris for k, v in storage.read_json(_sign(uri)).items()}
    check_readable(unreadable, len(images))
    return {
        "detections_uris": uris,
        "embeddings_uris": [_embeddings(uri) for uri in uris] if with_embeddings else [],
        "images": len(images),
        "unreadable": unreadable,
    }


def open_bundle(folder: Path, config: PredictConfig) -> Opened:
    """Load the model of a bundle, once its files are known to be whole.

    Raises:
        ValueError: if they are not.
    """
    from boxloop.bundle import read_bundle
    from boxloop.inference.engine import open_engine
    from boxloop.inference.portable import MODEL, Spec

    bundle = read_bundle(folder)
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


def _detect_parts(
    folder: Path,
    parts: list[tuple[str, pd.DataFrame]],
    config: PredictConfig,
    with_agreement: bool,
    with_embeddings: bool,
) -> None:
    from boxloop.inference.stream import detect_all

    (engine, spec), done = open_bundle(folder, config), 0
    total = sum(len(images) for _, images in parts)
    for number, (uri, images) in enumerate(parts, start=1):
        log.info("Part %d of %d: %d images", number, len(parts), len(images))
        results = detect_all(
            engine,
            spec,
            zip(images["image_id"], images["uri"], strict=True),
            with_agreement=with_agreement,
            with_embeddings=with_embeddings,
        )
        found, unreadable = _collect(results, done=done, total=total)
        done += len(images)
        _write_part(uri, found, spec.classes, with_embeddings)
        storage.write_json(_sign(uri), unreadable)


def _write_part(
    uri: str, found: Sequence[Detections], classes: Sequence[str], with_embeddings: bool
) -> None:
    from boxloop import embeddings
    from boxloop.data.dataset import to_parquet
    from boxloop.inference.stream import to_table

    storage.write_bytes(uri, to_parquet(to_table(found, classes)))
    if with_embeddings:
        vectors = {each.image_id: each.embedding for each in found if each.embedding is not None}
        if len(vectors) < len(found):
            log.warning("No embeddings: the model was exported before there were any")
        storage.write_bytes(_embeddings(uri), embeddings.to_parquet(vectors))


def _share(candidates: pd.DataFrame, shard: int, num_shards: int) -> pd.DataFrame:
    shards = candidates["image_id"].map(
        lambda image_id: int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % num_shards
    )
    return candidates[shards == shard]


def _parts(images: pd.DataFrame) -> list[pd.DataFrame]:
    """Return parts of about one size: of a few images at the end perhaps none could be read."""
    number = math.ceil(len(images) / IMAGES_A_PART)
    size = math.ceil(len(images) / max(1, number))
    return [images.iloc[size * i : size * (i + 1)] for i in range(number)]


def _missing(uris: list[str], parts: list[pd.DataFrame]) -> list[tuple[str, pd.DataFrame]]:
    """Return the parts that are not there yet, or not whole."""
    missing = [pair for pair in zip(uris, parts, strict=True) if not _is_whole(pair[0])]
    if len(missing) < len(parts):
        log.info("%d of %d parts are there already", len(parts) - len(missing), len(parts))
    return missing


def _digest(images: pd.DataFrame, decided_by: Sequence[object]) -> str:
    """Digest all that decides a part's detections."""
    inputs = [*decided_by, images[["image_id", "sha256"]].to_numpy().tolist()]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]


def _sign(uri: str) -> str:
    """Return the URI of the file that says that a part is whole."""
    return uri.replace(".parquet", ".unreadable.json")


def _embeddings(uri: str) -> str:
    """Return the URI of the embeddings of a part's images."""
    return uri.replace(".parquet", ".embeddings.parquet")


def _is_whole(uri: str) -> bool:
    return storage.exists(_sign(uri)) and storage.read_json(_sign(uri)) == {}
