"""What runs a bundle's model: TFLite on a CPU, TensorFlow on a GPU and for what TFLite cannot run.

docs/prediction.md has the comparison that this choice rests on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boxloop.inference.portable import MODEL, Array, Detector, Spec

Candidates = Callable[[Array], tuple[Array, Array, Array | None]]


@dataclass(frozen=True)
class Engine:
    """A loaded model, to be called by several threads at once."""

    name: str
    candidates: Candidates
    """Frames, shape (B, H, W, 3), to boxes (B, A, 1 or C, 4), scores (B, A, C) and embeddings
    (B, D), None where the model was exported before there were any."""
    batch_size: int
    """Frames a call at the most."""
    threads: int
    """How many of them should call."""


def open_engine(
    folder: Path, spec: Spec, name: str, *, has_tflite: bool, batch_size: int
) -> Engine:
    """Load the model of a bundle.

    Args:
        folder: the bundle.
        spec: its description.
        name: auto, tflite or tensorflow, as boxloop.settings.PredictConfig has it.
        has_tflite: whether there is a TFLite file.
        batch_size: frames a call, where the engine takes several.

    Raises:
        ValueError: if the bundle has no model for that engine, or one of another description.
    """
    if name == "tflite" and not has_tflite:
        raise ValueError(f"{folder} has no {MODEL}: TFLite cannot run this model, use tensorflow")
    if name == "tflite" or (name == "auto" and has_tflite and not _has_gpu()):
        return _open_tflite(folder, spec)
    return _open_tensorflow(folder, spec, batch_size, compiled=has_tflite and _has_gpu())


def _has_gpu() -> bool:
    """Say whether TensorFlow could use a GPU, without the seconds of loading it where not."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _open_tflite(folder: Path, spec: Spec) -> Engine:
    """Return one interpreter a thread: faster than one interpreter with several threads."""
    own = threading.local()
    own.detector = Detector(folder, spec=spec)  # fails here, and not in a thread

    def candidates(frames: Array) -> tuple[Array, Array, Array | None]:
        if not hasattr(own, "detector"):
            own.detector = Detector(folder, spec=spec)
        boxes, scores, embeddings = own.detector.candidates(frames)
        return boxes, scores, embeddings

    return Engine("tflite", candidates, batch_size=1, threads=num_cores())


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open_tensorflow(folder: Path, spec: Spec, batch_size: int, *, compiled: bool) -> Engine:
    import tensorflow as tf

    from boxloop.detector.serving import load_candidates

    call: Any = load_candidates(folder, spec, compiled=compiled)

    def candidates(frames: Array) -> tuple[Array, Array, Array | None]:
        # XLA compiles each shape anew, so it gets but one
        missing = batch_size - len(frames) if compiled else 0
        whole = np.concatenate([frames, np.zeros((missing, *frames.shape[1:]), np.float32)])
        boxes, scores, embeddings = call(tf.constant(whole))
        vectors = None if embeddings is None else embeddings.numpy()[: len(frames)]
        return boxes.numpy()[: len(frames)], scores.numpy()[: len(frames)], vectors

    return Engine("tensorflow", candidates, batch_size=batch_size, threads=1)
