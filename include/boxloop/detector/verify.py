"""Make sure that an exported bundle detects what the trained detector detects."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from boxloop.data.boxes import iou_matrix
from boxloop.detector.tflite import FLOAT16, INT8
from boxloop.inference.portable import MODEL, Array, Detector, Fitted, Found, Spec, find

SAVED_MODEL = "saved_model.pb"

MAX_CANDIDATE_DIFFERENCE = 1e-3  # of scores, before any is dropped; seen: 1e-6

log = logging.getLogger(__name__)


class Tolerance(NamedTuple):
    """What is still the same detection."""

    min_iou: float
    max_score_difference: float


EQUAL = Tolerance(0.99, 0.01)
ROUNDED = Tolerance(0.8, 0.1)
TOLERANCES: Mapping[str, Tolerance] = {
    SAVED_MODEL: EQUAL,
    MODEL: EQUAL,
    FLOAT16: ROUNDED,
    INT8: ROUNDED,
}
"""By file of the bundle."""
MAX_LOST: Mapping[str, float] = {SAVED_MODEL: 0.01, MODEL: 0.01, FLOAT16: 0.5}
"""Share of the detections that a file may lack, chosen otherwise at the edge of a threshold. The
rounded files may lack more: what they lose is in the bundle's description, for those who want
their size or speed."""


def verify(
    candidates: Any, folder: Path, spec: Spec, images: Sequence[tuple[bytes, Fitted]]
) -> dict[str, dict[str, int]]:
    """Compare every model file of a bundle with the detector that it was made from.

    Args:
        candidates: of the detector: `Serving.candidates`.
        folder: with the files.
        spec: of the model.
        images: encoded, and in the model's frame.

    Returns:
        By file: `detections`, those of both sides compared; `lost`, how many of them have no
        partner within TOLERANCES on the other side.

    Raises:
        ValueError: if a file lacks more of them than MAX_LOST, or the SavedModel or the float32
            TFLite file scores the candidates otherwise.
    """
    fitted = [each for _, each in images]
    frames = np.stack([each.frame for each in fitted])
    boxes, scores = _numpy(candidates(tf.constant(frames)))
    model = tf.saved_model.load(str(folder))
    _check_candidates(model, folder, spec, frames, scores)
    expected = [find(b, s, f, spec) for b, s, f in zip(boxes, scores, fitted, strict=True)]
    found = {SAVED_MODEL: _saved_model_found(model, [content for content, _ in images])}
    for name in (MODEL, FLOAT16, INT8):
        if (folder / name).exists():
            found[name] = _tflite_found(Detector(folder, name, spec=spec), fitted)
    limit = spec.max_detections
    return {n: _verdict(folder / n, expected, actual, limit) for n, actual in found.items()}


def _verdict(
    path: Path, expected: Sequence[Found], actual: Sequence[Found], limit: int
) -> dict[str, int]:
    detections, lost = _compare(expected, actual, TOLERANCES[path.name], limit)
    log.info("%s: %d detections compared, %d lost", path.name, detections, lost)
    if lost > MAX_LOST.get(path.name, 1.0) * detections:
        raise ValueError(
            f"{path} does not detect as the trained detector does: {lost} of {detections} "
            "detections have no counterpart; please report this, with the model's settings"
        )
    return {"detections": detections, "lost": lost}


def _check_candidates(model: Any, folder: Path, spec: Spec, frames: Array, expected: Array) -> None:
    """Compare scores before any is dropped: a detector that finds nothing is checked too."""
    if not np.isfinite(expected).all():
        raise ValueError("the trained detector's scores are no numbers: train it anew")
    scores = {SAVED_MODEL: _numpy(model.signatures["candidates"](frames=tf.constant(frames)))[1]}
    if (folder / MODEL).exists():
        detector = Detector(folder, spec=spec)
        each = [detector.candidates(frame[None])[1].copy() for frame in frames]
        scores[MODEL] = np.concatenate(each)
    for name, found in scores.items():
        if not np.allclose(found, expected, atol=MAX_CANDIDATE_DIFFERENCE):
            raise ValueError(f"{folder / name} does not score as the trained detector does")


def _numpy(outputs: Any) -> tuple[Array, Array]:
    return outputs["boxes"].numpy(), outputs["scores"].numpy()


def _saved_model_found(model: Any, contents: Sequence[bytes]) -> list[Found]:
    """Detect in encoded images with the SavedModel as everybody will load it."""
    outputs = model.signatures["serving_default"](image_bytes=tf.constant(list(contents)))
    arrays = {name: value.numpy() for name, value in outputs.items()}
    found = []
    for index, count in enumerate(arrays["num_detections"]):
        boxes, ids, scores = (
            arrays[f"detection_{name}"][index][:count] for name in ("boxes", "classes", "scores")
        )
        found.append(Found(boxes[:, [1, 0, 3, 2]], ids, scores))
    return found


def _tflite_found(detector: Detector, fitted: Sequence[Fitted]) -> list[Found]:
    found = []
    for each in fitted:
        boxes, scores, _ = detector.candidates(each.frame[None])
        found.append(find(boxes[0], scores[0], each, detector.spec))
    return found


def _compare(
    expected: Sequence[Found], actual: Sequence[Found], tolerance: Tolerance, limit: int
) -> tuple[int, int]:
    """Return how many detections both sides have together, and how many lack a partner.

    Where there are as many as an image may have, those that score hardly better than the last
    do not count: of a detector that has learnt little, chance decides which they are.
    """
    has_partner = [
        _has_partner(one, other, tolerance)[_is_clear(one, tolerance, limit)]
        for side in ((expected, actual), (actual, expected))
        for one, other in zip(*side, strict=True)
    ]
    return sum(map(len, has_partner)), sum(int((~each).sum()) for each in has_partner)


def _is_clear(found: Found, tolerance: Tolerance, limit: int) -> Array:
    if len(found.scores) < limit:
        return np.ones(len(found.scores), bool)
    return np.asarray(found.scores > found.scores.min() + tolerance.max_score_difference)


def _has_partner(one: Found, other: Found, tolerance: Tolerance) -> Array:
    """Say for each detection whether the other side has it too."""
    is_same = (
        (one.class_ids[:, None] == other.class_ids)
        & (np.abs(one.scores[:, None] - other.scores) <= tolerance.max_score_difference)
        & (iou_matrix(one.boxes_xyxy, other.boxes_xyxy) >= tolerance.min_iou)
    )
    return np.asarray(is_same.any(axis=1))
