"""A detector without a model, which finds red, and images for it."""

import threading
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tests.data.pictures import encoded

from boxloop.inference.engine import Engine
from boxloop.inference.portable import Array, Spec

SPEC = Spec(
    classes=("cat", "dog"),
    input_size=(48, 64),
    mean_rgb=(124.0, 116.0, 104.0),
    keep_aspect_ratio=True,
    min_score=0.1,
    max_iou=0.5,
    max_detections=10,
)
RED, GREY = (255, 0, 0), (120, 120, 120)
Corners = tuple[float, float, float, float]


class RedFinder:
    """Detects a red rectangle as a dog, to a pixel of the frame; counts its calls.

    The embedding of a frame is its mean colour.
    """

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, frames: Array) -> tuple[Array, Array, Array | None]:
        with self._lock:
            self.batches.append(len(frames))
        boxes = np.stack([_red_box(frame) for frame in frames])[:, None, None]
        is_found = (boxes[..., 2] > boxes[..., 0]).astype(np.float32)
        scores = np.concatenate([0 * is_found, 0.9 * is_found], axis=2).astype(np.float32)
        return boxes, scores, frames.mean(axis=(1, 2))


def engine(candidates: RedFinder | None = None, *, batch_size: int = 1, threads: int = 2) -> Engine:
    return Engine("fake", candidates or RedFinder(), batch_size, threads)


def image(red: Corners | None = (16, 16, 48, 32), size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a grey image with a red rectangle; max edges are exclusive."""
    picture = Image.new("RGB", size, GREY)
    if red is not None:
        xmin, ymin, xmax, ymax = red
        ImageDraw.Draw(picture).rectangle((xmin, ymin, xmax - 1, ymax - 1), RED)
    return picture


def write_image(path: Path, red: Corners | None = (16, 16, 48, 32)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image(red), "PNG"))
    return str(path)


def _red_box(frame: Array) -> Array:
    is_red = (frame[..., 0] > 190) & (frame[..., 1] < 60)
    rows, columns = np.flatnonzero(is_red.any(axis=1)), np.flatnonzero(is_red.any(axis=0))
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], np.float32)
