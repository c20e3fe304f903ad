"""Detect with an exported model: batches of encoded images in, a table of detections out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf

from boxloop.data.dataset import DETECTION_COLUMNS, XYXY, build_table
from boxloop.progress import Stopwatch, tell

log = logging.getLogger(__name__)


class Detections(NamedTuple):
    """All detections of one image, best first."""

    image_id: str
    class_ids: np.ndarray[Any, Any]
    """Shape (N,), from 1."""
    scores: np.ndarray[Any, Any]
    """Shape (N,), in [0, 1]."""
    boxes_xyxy: np.ndarray[Any, Any]
    """Shape (N, 4), pixels of the image, 0-based, max edge exclusive, inside the image."""


def detect_all(
    model_dir: Path,
    image_ids: Sequence[str],
    contents: Iterable[bytes],
    *,
    class_names: Sequence[str],
    batch_size: int,
) -> tuple[pd.DataFrame, list[str]]:
    """Detect in all images, telling progress.

    Args:
        model_dir: an exported model.
        image_ids: of the images.
        contents: of the images, in the same order.
        class_names: in the order of their ids, which start at 1.
        batch_size: images a call of the model.

    Returns:
        A table with DETECTION_COLUMNS, sorted by image_id, best first; and the image_ids of
        images that cannot be decoded.
    """
    unreadable: list[str] = []
    model, stopwatch, done = load_model(model_dir), Stopwatch(), 0
    rows: list[dict[str, object]] = []
    images = zip(image_ids, contents, strict=True)
    while batch := list(islice(images, batch_size)):
        for detections in detect_batch(model, batch, unreadable.append):
            rows += _rows(detections, class_names)
        done += len(batch)
        tell(step=done, steps=len(image_ids), images_per_second=stopwatch.rate(len(batch)))
    return build_table(sorted(rows, key=_image_then_score), DETECTION_COLUMNS), unreadable


def load_model(folder: Path) -> Callable[[Any], dict[str, Any]]:
    """Return the function of an exported model: a vector of encoded images to its outputs."""
    model = tf.saved_model.load(str(folder))

    return partial(_call, model)


def _call(model: Any, images: Any) -> dict[str, Any]:
    return dict(model.signatures["serving_default"](images))


def detect_batch(
    model: Callable[[Any], dict[str, Any]],
    batch: Sequence[tuple[str, bytes]],
    on_unreadable: Callable[[str], None],
) -> Iterator[Detections]:
    """Detect in a batch of images, each its image_id and content.

    One bad image fails a whole batch: then each is tried alone, and `on_unreadable` is called
    with the image_id of those that cannot be decoded.
    """
    try:
        outputs = model(tf.constant([data for _, data in batch]))
    except tf.errors.InvalidArgumentError as error:
        if len(batch) > 1:
            for item in batch:
                yield from detect_batch(model, [item], on_unreadable)
            return
        log.warning("Cannot read %s: %s", batch[0][0], error.message.splitlines()[0])
        on_unreadable(batch[0][0])
        return
    arrays = {name: value.numpy() for name, value in outputs.items()}
    for index, (image_id, _) in enumerate(batch):
        yield _detections(image_id, {name: array[index] for name, array in arrays.items()})


def _detections(image_id: str, output: dict[str, Any]) -> Detections:
    """Bring one image's outputs from the model's input frame to the image's own."""
    count = int(output["num_detections"])
    (height, width), _, (scale_y, scale_x), (offset_y, offset_x) = output["image_info"]
    top, left, bottom, right = output["detection_boxes"][:count].T
    boxes = np.stack(
        [
            np.clip((left + offset_x) / scale_x, 0, width),
            np.clip((top + offset_y) / scale_y, 0, height),
            np.clip((right + offset_x) / scale_x, 0, width),
            np.clip((bottom + offset_y) / scale_y, 0, height),
        ],
        axis=1,
    )
    has_area = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    class_ids = output["detection_classes"][:count].astype(np.int64)
    return Detections(
        image_id, class_ids[has_area], output["detection_scores"][:count][has_area], boxes[has_area]
    )


def _rows(detections: Detections, class_names: Sequence[str]) -> list[dict[str, object]]:
    found = zip(detections.class_ids, detections.scores, detections.boxes_xyxy, strict=True)
    return [
        {
            "image_id": detections.image_id,
            "class_name": class_names[class_id - 1],
            "score": float(score),
            **dict(zip(XYXY, box.tolist(), strict=True)),
        }
        for class_id, score, box in found
    ]


def _image_then_score(row: dict[str, Any]) -> tuple[str, float]:
    return row["image_id"], -row["score"]
