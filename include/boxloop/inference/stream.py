"""Detect in any number of images: reading, decoding, arithmetic and writing go on side by side."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import pandas as pd

from boxloop import storage
from boxloop.data.dataset import DETECTION_COLUMNS, XYXY
from boxloop.data.images import open_image, to_rgb
from boxloop.inference.agreement import agreement, variants
from boxloop.inference.engine import Engine, num_cores
from boxloop.inference.portable import Array, Fitted, Found, Spec, decode, find, fit
from boxloop.ordered import map_ordered

log = logging.getLogger(__name__)

LARGE = 2**23  # pixels; of images with more only one at a time is in memory
_LARGE_IMAGE = threading.Lock()
GONE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What says that a file cannot be read; whatever else the disk or the network says may pass."""

T = TypeVar("T")


class Detections(NamedTuple):
    """What was found in an image."""

    image_id: str
    found: Found
    agreement: Array | None
    """Shape (N,), as boxloop.inference.agreement has it; None where nobody asked."""
    embedding: Array | None = None
    """Shape (D,): of the image, by its backbone; None where nobody asked, or the model has none."""


class Unreadable(NamedTuple):
    """An image in which nothing can be detected."""

    image_id: str
    reason: str


class _Prepared(NamedTuple):
    image_id: str
    fitted: list[Fitted]


def detect_all(
    engine: Engine,
    spec: Spec,
    images: Iterable[tuple[str, str]],
    *,
    with_agreement: bool = False,
    with_embeddings: bool = False,
    upright: bool = False,
) -> Iterator[Detections | Unreadable]:
    """Detect in images, in their order; those that cannot be read come as they are met.

    Memory holds a few images a thread, however many there are.

    Args:
        engine: a loaded model.
        spec: of the model.
        images: name and URI of each.
        with_agreement: tell how firm each box is, at three times the cost.
        with_embeddings: keep each image's, which the model makes in any case.
        upright: turned as Exif asks for; else as it is stored, as in training.
    """
    cv2.setNumThreads(1)  # the threads here have the cores already
    unreadable: list[Unreadable] = []
    first, stream = _peek(images)
    threads = max(num_cores(), storage.readers(first[1]) if first else 1)

    def readable() -> Iterator[_Prepared]:
        work = partial(_prepare, spec=spec, with_agreement=with_agreement, upright=upright)
        limit = 2 * max(threads, engine.batch_size)
        for prepared in map_ordered(work, stream, threads=threads, limit=limit):
            if isinstance(prepared, _Prepared):
                yield prepared
            else:
                log.warning("Cannot read %s: %s", prepared.image_id, prepared.reason)
                unreadable.append(prepared)

    batches = _batched(readable(), engine.batch_size)
    detect = partial(_detect, engine, spec, with_embeddings=with_embeddings)
    for found in map_ordered(detect, batches, threads=engine.threads, limit=2 * engine.threads):
        yield from found
        yield from unreadable
        unreadable.clear()
    yield from unreadable


def to_table(results: Iterable[Detections], classes: Sequence[str]) -> pd.DataFrame:
    """Return detections as a table with DETECTION_COLUMNS, in the order given, best first."""
    given = list(results)
    found = [each.found for each in given]
    counts = [len(each.scores) for each in found]
    ids = np.concatenate([np.zeros(0, np.intp), *(each.class_ids for each in found)])
    boxes = np.concatenate([np.zeros((0, 4)), *(each.boxes_xyxy for each in found)])
    firmness = [
        np.full(count, np.nan) if each.agreement is None else each.agreement
        for each, count in zip(given, counts, strict=True)
    ]
    columns = {
        "image_id": np.repeat(np.array([each.image_id for each in given], object), counts),
        "class_name": np.array(["", *classes], object)[ids],
        "score": np.concatenate([np.zeros(0), *(each.scores for each in found)]),
        **dict(zip(XYXY, boxes.T, strict=True)),
        "agreement": np.concatenate([np.zeros(0), *firmness]),
    }
    return pd.DataFrame(columns)[list(DETECTION_COLUMNS)].astype(DETECTION_COLUMNS)


def find_all(
    engine: Engine, spec: Spec, fitted: Sequence[Fitted]
) -> list[tuple[Found, Array | None]]:
    """Return the detections in images that are in the model's frame, and their embeddings."""
    found: list[tuple[Found, Array | None]] = []
    for start in range(0, len(fitted), engine.batch_size):
        batch = fitted[start : start + engine.batch_size]
        frames = np.stack([each.frame for each in batch]) if batch[1:] else batch[0].frame[None]
        boxes, scores, embeddings = engine.candidates(frames)
        vectors = [None] * len(batch) if embeddings is None else embeddings
        chosen = [find(*each, spec) for each in zip(boxes, scores, batch, strict=True)]
        found += zip(chosen, vectors, strict=True)
    return found


def _prepare(
    image: tuple[str, str], *, spec: Spec, with_agreement: bool, upright: bool
) -> _Prepared | Unreadable:
    """Read an image, of a known format and size only, into the model's frame."""
    image_id, uri = image
    try:
        content = storage.read_again(uri)
        width, height = open_image(content).size
        with _LARGE_IMAGE if width * height > LARGE else contextlib.nullcontext():
            pixels = decode(to_rgb(content, upright=upright), upright=upright)
            fitted = variants(pixels, spec) if with_agreement else [fit(pixels, spec)]
    except MemoryError:
        return Unreadable(image_id, "there is not enough memory for this image; shrink it")
    except (*GONE, ValueError) as error:
        return Unreadable(image_id, str(error))
    return _Prepared(image_id, fitted)


def _detect(
    engine: Engine, spec: Spec, prepared: Sequence[_Prepared], *, with_embeddings: bool
) -> list[Detections]:
    found = iter(find_all(engine, spec, [each for item in prepared for each in item.fitted]))
    result = []
    for item in prepared:
        (first, embedding), *others = islice(found, len(item.fitted))
        variants_found = [first, *(each for each, _ in others)]
        firm = agreement(variants_found, item.fitted[0].size[1]) if others else None
        kept = embedding if with_embeddings else None
        result.append(Detections(item.image_id, first, firm, kept))
    return result


def _peek(items: Iterable[T]) -> tuple[T | None, Iterator[T]]:
    """Return the first item, None where there is none, and all of them."""
    stream = iter(items)
    begin = list(islice(stream, 1))
    return (begin[0] if begin else None), chain(begin, stream)


def _batched(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch
