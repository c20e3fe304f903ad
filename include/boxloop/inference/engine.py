"""What runs a bundle's model: TFLite on a CPU, TensorFlow on a GPU and for what TFLite cannot run.

docs/prediction.md has the comparison that this choice rests on.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boxloop.inference.portable import MODEL, Array, Detector

log = logging.getLogger(__name__)

Candidates = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Engine:
    """A loaded model, to be called by several threads at once."""

    name: str
    candidates: Candidates
    """Frames, shape (B, H, W, 3), to boxes (B, A, 1 or C, 4) and scores (B, A, C)."""
    batch_size: int
    """Frames a call at the most."""
    threads: int
    """How many of them should call."""


def open_engine(folder: Path, name: str, *, batch_size: int) -> Engine:
    """Load the model of a bundle.

    Args:
        folder: the bundle.
        name: auto, tflite or tensorflow, as boxloop.settings.PredictConfig has it.
        batch_size: frames a call, where the engine takes several.

    Raises:
        ValueError: if the bundle has no model for that engine.
    """
    has_tflite = (folder / MODEL).exists()
    if name == "tflite" and not has_tflite:
        raise ValueError(f"{folder} has no {MODEL}: TFLite cannot run this model, use tensorflow")
    if name == "tflite" or (name == "auto" and has_tflite and not _has_gpu()):
        return _open_tflite(folder)
    return _open_tensorflow(folder, batch_size)


def _has_gpu() -> bool:
    """Say whether TensorFlow could use a GPU, without the seconds of loading it where not."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _open_tflite(folder: Path) -> Engine:
    """Return one interpreter a thread: faster than one interpreter with several threads."""
    own = threading.local()

    def candidates(frames: Array) -> tuple[Array, Array]:
        if not hasattr(own, "detector"):
            own.detector = Detector(folder)
        boxes, scores = own.detector.candidates(frames)
        return boxes, scores

    return Engine("tflite", candidates, batch_size=1, threads=len(os.sched_getaffinity(0)))


def _open_tensorflow(folder: Path, batch_size: int) -> Engine:
    import tensorflow as tf

    from boxloop.detector.serving import load_candidates

    is_plain = (folder / MODEL).exists()  # what TFLite takes, XLA takes
    call: Any = load_candidates(folder, compiled=_has_gpu() and is_plain)

    def candidates(frames: Array) -> tuple[Array, Array]:
        # always the same shape: another one would be traced, and compiled, anew
        missing = batch_size - len(frames)
        whole = np.concatenate([frames, np.zeros((missing, *frames.shape[1:]), np.float32)])
        boxes, scores = call(tf.constant(whole))
        return boxes.numpy()[: len(frames)], scores.numpy()[: len(frames)]

    return Engine("tensorflow", candidates, batch_size=batch_size, threads=1)
