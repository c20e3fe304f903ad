"""Detect objects in images with the model in this folder, without TensorFlow.

Needs numpy and two packages more: pip install opencv-python-headless ai-edge-litert

    python detect.py photo.jpg ...

prints one line of JSON an image. From Python: `Detector("FOLDER")(Path("photo.jpg").read_bytes())`.

Every bundle that Boxloop exports holds this file as detect.py, and Boxloop itself detects with it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))  # read by cv2 as it is imported

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

Array = np.ndarray[Any, Any]
SPEC = "bundle.json"
MODEL = "detector.tflite"
LARGE = 2**25  # colours of an image from which on they are scaled one by one, to spare memory


@dataclass(frozen=True)
class Spec:
    """What has to be known of a model to feed it and to read its answer."""

    classes: tuple[str, ...]
    """In the order of class ids, from 1."""
    input_size: tuple[int, int]
    """Height and width of the frame that the model looks at, in pixels."""
    mean_rgb: tuple[float, float, float]
    """What the frame is filled up with."""
    keep_aspect_ratio: bool
    min_score: float
    """Detections at this score or below are dropped."""
    max_iou: float
    """Of two boxes of a class that overlap more, the one with the lower score is dropped."""
    max_detections: int
    """In an image."""

    @classmethod
    def read(cls, folder: str | Path) -> Spec:
        """Read the description in a bundle's folder."""
        return cls.of(json.loads((Path(folder) / SPEC).read_text("utf-8")))

    @classmethod
    def of(cls, bundle: dict[str, Any]) -> Spec:
        """Return what the content of a bundle.json says."""
        frame, rules = bundle["input"], bundle["detection"]
        return cls(
            tuple(bundle["classes"]),
            (int(frame["height"]), int(frame["width"])),
            tuple(frame["mean_rgb"]),
            frame["keep_aspect_ratio"],
            rules["min_score"],
            rules["max_iou"],
            rules["max_detections"],
        )


@dataclass(frozen=True)
class Fitted:
    """An image in the frame of a model."""

    frame: Array
    """Shape (H, W, 3): RGB, 0 to 255, float32; the image at the top left."""
    scale_yx: tuple[float, float]
    """Pixels of the frame a pixel of the image."""
    size: tuple[int, int]
    """Height and width of the image, in pixels."""


@dataclass(frozen=True)
class Found:
    """The detections of an image, best first."""

    boxes_xyxy: Array
    """Shape (N, 4): pixels of the image, 0-based, max edge exclusive, inside the image."""
    class_ids: Array
    """Shape (N,), from 1."""
    scores: Array
    """Shape (N,), in (0, 1)."""

    def above(self, min_score: float) -> Found:
        """Return the detections of at least this score."""
        is_good = self.scores >= min_score
        return Found(self.boxes_xyxy[is_good], self.class_ids[is_good], self.scores[is_good])


class Detector:
    """A model for one thread at a time.

    Raises:
        ValueError: if the description in the folder is of another model.
    """

    def __init__(self, folder: str | Path, model: str = MODEL, *, spec: Spec | None = None) -> None:
        self.spec = spec or Spec.read(folder)
        self._interpreter = Interpreter(str(Path(folder) / model), num_threads=1)
        self._interpreter.allocate_tensors()
        self._batch_size = 1
        frames, outputs = (
            self._interpreter.get_input_details()[0],
            self._interpreter.get_output_details(),
        )
        self._input = frames["index"]
        by_rank = {len(output["shape"]): output for output in outputs}
        self._boxes, self._scores = by_rank[4]["index"], by_rank[3]["index"]
        self._embeddings = by_rank[2]["index"] if 2 in by_rank else None
        check_shapes(self.spec, frames["shape"], by_rank[3]["shape"], f"{folder}/{model}")

    def __call__(self, content: bytes) -> list[dict[str, Any]]:
        """Detect in an encoded image, such as the bytes of a JPEG file."""
        fitted = fit(decode(content), self.spec)
        boxes, scores, _ = self.candidates(fitted.frame[None])
        return to_records(find(boxes[0], scores[0], fitted, self.spec), self.spec)

    def candidates(self, frames: Array) -> tuple[Array, Array, Array | None]:
        """Return what the model says to frames, shape (B, H, W, 3).

        Returns:
            Boxes in pixels of the frame: ymin, xmin, ymax, xmax, shape (B, A, 1, 4); the score of
            each class for each box, shape (B, A, C); and a vector a frame, shape (B, D), by which
            images can be compared, None where the model is too old to have any.
        """
        if len(frames) != self._batch_size:
            self._interpreter.resize_tensor_input(self._input, frames.shape)
            self._interpreter.allocate_tensors()
            self._batch_size = len(frames)
        self._interpreter.set_tensor(self._input, frames)
        self._interpreter.invoke()
        get = self._interpreter.get_tensor
        embeddings = None if self._embeddings is None else get(self._embeddings)
        return get(self._boxes), get(self._scores), embeddings


def check_shapes(spec: Spec, frames: Sequence[int], scores: Sequence[int], where: str) -> None:
    """Raise ValueError unless a model's input and output are those of the description.

    Args:
        spec: the description.
        frames: shape of the model's input, (B, H, W, 3).
        scores: shape of its scores, (B, A, C).
        where: names the model in the message.
    """
    has, says = (*frames[1:3], scores[-1]), (*spec.input_size, len(spec.classes))
    if tuple(has) != says:
        raise ValueError(
            f"{where} takes {has[0]} x {has[1]} pixels and knows {has[2]} classes, {SPEC} says "
            f"{says[0]} x {says[1]} and {says[2]}: it is of another model"
        )


def decode(content: bytes, *, upright: bool = True) -> Array:
    """Return an encoded image's pixels as RGB, shape (h, w, 3), uint8.

    Args:
        content: a JPEG, PNG, or another file that OpenCV reads; the first picture of several.
        upright: turned as its Exif data ask for, as viewers do; else as it is stored.

    Raises:
        ValueError: if it is no image, damaged, or too large.
    """
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except cv2.error as error:
        raise ValueError(f"the image cannot be decoded: {error.err}") from error
    if pixels is None:
        raise ValueError("the image is empty, damaged or of an unknown format")
    return pixels


def fit(pixels: Array, spec: Spec) -> Fitted:
    """Scale an image into the model's frame, as it was done in training.

    Bilinear, between half-pixel centres, without anti-aliasing; what the image leaves free at the
    right or at the bottom has the mean colour.
    """
    # in float32, as TensorFlow does: some sizes would be rounded to another pixel
    size, frame_size = np.array([pixels.shape[:2], spec.input_size], np.float32)
    ratio = frame_size / size
    wanted = np.rint(size * (ratio.min() if spec.keep_aspect_ratio else ratio))
    height, width = np.clip(wanted, 1, frame_size).astype(int).tolist()
    frame = np.empty((*spec.input_size, 3), np.float32)
    frame[height:] = frame[:, width:] = spec.mean_rgb
    frame[:height, :width] = _scale(pixels, width, height)
    scale = (height / pixels.shape[0], width / pixels.shape[1])
    return Fitted(frame, scale, (pixels.shape[0], pixels.shape[1]))


def find(boxes: Array, scores: Array, fitted: Fitted, spec: Spec) -> Found:
    """Choose the detections among an image's candidates, in pixels of the image.

    Args:
        boxes: shape (A, 1 or C, 4), as `Detector.candidates` has them.
        scores: shape (A, C).
        fitted: the image.
        spec: of the model.
    """
    rows, classes = np.nonzero(scores > spec.min_score)
    yxyx = boxes[rows, classes if boxes.shape[1] > 1 else 0]
    xyxy = _to_image(yxyx, fitted)
    # first: those beside the image or flat at its edge would take the place of others
    has_area = (xyxy[:, 0] < xyxy[:, 2]) & (xyxy[:, 1] < xyxy[:, 3])
    xyxy, classes, chosen = xyxy[has_area], classes[has_area], scores[rows, classes][has_area]
    kept = _suppress(yxyx[has_area], chosen, classes, spec)
    return Found(xyxy[kept], classes[kept] + 1, chosen[kept])


def to_records(found: Found, spec: Spec) -> list[dict[str, Any]]:
    """Return detections as values for JSON."""
    edges = ("xmin", "ymin", "xmax", "ymax")
    return [
        {"class": spec.classes[class_id - 1], "score": round(score, 4)}
        | {edge: round(value, 1) for edge, value in zip(edges, box, strict=True)}
        for class_id, score, box in zip(
            found.class_ids.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True
        )
    ]


def _scale(pixels: Array, width: int, height: int) -> Array:
    """Scale in float32: rounding to whole colours would move scores."""
    if pixels.size <= LARGE:
        return cv2.resize(pixels.astype(np.float32), (width, height))
    channels = (pixels[..., channel].astype(np.float32) for channel in range(3))
    return np.stack([cv2.resize(each, (width, height)) for each in channels], axis=-1)


def _suppress(yxyx: Array, scores: Array, classes: Array, spec: Spec) -> Array:
    """Return the indices of the boxes to keep, best first (greedy, class by class)."""
    if not len(scores):
        return np.zeros(0, np.intp)
    corner, size = yxyx[:, 1::-1], (yxyx[:, 2:] - yxyx[:, :2])[:, ::-1]
    # from 0 on: OpenCV keeps classes apart by moving each past the largest coordinate
    boxes = np.hstack([corner - corner.min(axis=0), size]).astype(np.float64)
    kept = cv2.dnn.NMSBoxesBatched(
        cast("Any", boxes),
        cast("Any", scores.astype(np.float32)),
        cast("Any", classes.astype(np.int32)),
        spec.min_score,
        spec.max_iou,
    )
    ranked = np.asarray(kept, np.intp)
    best_first = ranked[np.argsort(-scores[ranked], kind="stable")]
    return best_first[: spec.max_detections]


def _to_image(yxyx: Array, fitted: Fitted) -> Array:
    scale, limit = np.array(fitted.scale_yx[::-1] * 2), np.array(fitted.size[::-1] * 2)
    inside: Array = np.clip(yxyx[:, [1, 0, 3, 2]] / scale, 0, limit)
    return inside


def main(paths: Sequence[str]) -> int:
    """Print what is found in each image; return 1 if one could not be read."""
    detector, failed = Detector(Path(__file__).parent), 0
    for path in paths:
        try:
            line: dict[str, Any] = {"detections": detector(Path(path).read_bytes())}
        except (OSError, ValueError) as error:
            line, failed = {"error": str(error)}, 1
        print(json.dumps({"image": path, **line}))  # noqa: T201
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
