"""A bundle without a model, and a detector to put in the place of one."""

from pathlib import Path
from typing import Any

import pytest
from tests.inference.fakes import SPEC, RedFinder, engine

from boxloop.bundle import LABEL_MAP, write_bundle
from boxloop.data.formats.label_map import build_label_map

DESCRIPTION: dict[str, Any] = {
    "name": "cards",
    "round": 2,
    "model": "retinanet_lite0_64",
    "task": "RetinaNet",
    "weights": {
        "kind": "backbone",
        "source": "https://example.org/lite0.pth",
        "sha256": "5" * 64,
        "trained_on": "ImageNet",
        "licence": "Apache-2.0",
    },
    "data": {"version": "dataset/round_02", "boxes_sha256": "0123456789abcdef" * 4}
    | {"training_images": 40, "adopted_images": 4},
    "seed": 1,
    "versions": {"boxloop": "0.1.0", "tensorflow": "2.20.0"},
    "classes": list(SPEC.classes),
    "input": {
        "height": SPEC.input_size[0],
        "width": SPEC.input_size[1],
        "keep_aspect_ratio": SPEC.keep_aspect_ratio,
        "mean_rgb": list(SPEC.mean_rgb),
    },
    "detection": {
        "min_score": SPEC.min_score,
        "max_iou": SPEC.max_iou,
        "max_detections": SPEC.max_detections,
    },
    "verified": {
        "saved_model.pb": {"detections": 40, "lost": 0},
        "detector_int8.tflite": {"detections": 40, "lost": 3},
    },
}


def make_bundle(folder: Path, **changes: Any) -> Path:
    """Write a bundle with some file in the model's place."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"a graph")
    (folder / "variables" / "data").write_bytes(b"weights")
    (folder / LABEL_MAP).write_text(build_label_map(SPEC.classes))
    write_bundle(folder, DESCRIPTION | changes)
    return folder


def detect_with(finder: RedFinder, monkeypatch: pytest.MonkeyPatch) -> RedFinder:
    """Let every bundle detect with this one, two images at a time."""
    loaded = engine(finder, batch_size=2, threads=1)
    monkeypatch.setattr("boxloop.inference.engine.open_engine", lambda *_, **__: loaded)
    return finder
