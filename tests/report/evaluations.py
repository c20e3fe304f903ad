"""What an evaluation leaves behind, for two test images: the first gets lost, the second won."""

import io
from typing import Any

import pandas as pd
from PIL import Image

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import (
    BOX_COLUMNS,
    DETECTION_COLUMNS,
    IMAGE_COLUMNS,
    XYXY,
    build_table,
    read_dataset,
    to_parquet,
)

THRESHOLD = 0.5
FOUND = (20, 20, 60, 60)
FAINT = (300, 200, 340, 240)
"""Below the threshold: never drawn."""


def evaluation(number: int, name: str = "pip") -> dict[str, Any]:
    """Return the evaluation of round 1 or 2, in which class `name` has been learnt."""
    value = 0.25 * number
    cells = [[0, 0, 1], [0, 1, 1], [2, 1, 2]] if number == 2 else [[0, 0, 1], [0, 2, 1]]
    verdicts = ["wrong", "right"] if number == 2 else ["right", "nothing"]
    rows = {verdict: verdicts.count(verdict) for verdict in ("right", "wrong", "nothing")}
    kinds = ("classification", "localisation", "both", "duplicate", "background", "missed")
    return {
        "split": "test",
        "images": 2,
        "unreadable": {},
        "boxes": 2,
        "map50": value,
        "map50_interval": [value - 0.05, value + 0.05],
        "map50_change_interval": [0.02, 0.48] if number == 2 else None,
        "map": 0.11,
        "map75": 0.12,
        "map50_coco": 0.13,
        "map_small": None,
        "map_medium": 0.15,
        "map_large": 0.16,
        "ap50_per_class": {name: value, "tock": None},
        "ap50_intervals": {name: [value - 0.2, value + 0.2], "tock": None},
        "pascal": {
            "PascalBoxes_Precision/mAP@0.5IOU": value,
            f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}": value,
            "PascalBoxes_PerformanceByCategory/AP@0.5IOU/tock": None,
        },
        "operating": _operating(name),
        "confusion": {"names": [name, "tock", "background"], "cells": cells},
        "errors": {kind: {"count": 3 + i, "cost": 0.01 * i} for i, kind in enumerate(kinds)},
        "hand_check": {
            "images_per_class": 20,
            "half_width": 0.21,
            "rows": {name: rows, "tock": dict.fromkeys(rows, 0)},
            "images": [
                {"image_id": f"e{i}.jpg", "class_name": name, "verdict": verdict, "score": None}
                for i, verdict in enumerate(verdicts)
            ],
        },
    }


def _operating(name: str) -> dict[str, Any]:
    """Return the figures at the threshold."""
    return {
        "threshold": THRESHOLD,
        "threshold_from": "validation",
        "precision": 0.61,
        "recall": 0.62,
        "f1": 0.63,
        "per_class": {
            name: {"precision": 1.0, "recall": 0.5, "f1": 0.67}
            | {"right": 1, "wrong": 0, "missed": 1},
            "tock": {"precision": None, "recall": None, "f1": None}
            | {"right": 0, "wrong": 0, "missed": 0},
        },
    }


def write_evaluation(run: Run, number: int, name: str = "pip") -> None:
    """Write what `train` and `evaluate` leave behind for round 1 or 2."""
    _add_test_images(run, number, name)
    storage.write_json(run.evaluation(number), evaluation(number, name))
    found = [
        _detection("e0.jpg", name if number == 1 else "tock", 0.8, FOUND),
        _detection("e0.jpg", name, 0.4, FAINT),
        *([_detection("e1.jpg", name, 0.9, FOUND)] if number == 2 else []),
    ]
    detections = build_table(found, DETECTION_COLUMNS)
    storage.write_bytes(run.evaluated_detections(number), to_parquet(detections))
    right = [True, False] if number == 1 else [False, True]
    table = {"image_id": ["e0.jpg", "e1.jpg"], "truths": [1, 1], "is_right": right}
    table |= {"found": [int(r) for r in right], "wrong": [0, 0]}
    storage.write_bytes(run.evaluated_images(number), to_parquet(pd.DataFrame(table)))
    curve = [[10, 4.0 / number], [20, 2.0 / number]]
    marker = {"fingerprint": "", "value": {"steps": 20, "loss_curve": curve}}
    storage.write_json(run.marker(number, "train"), marker)


def _add_test_images(run: Run, number: int, name: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 300), "olive").save(buffer, "PNG")
    folder = run.dataset(number)
    dataset = read_dataset(folder)
    images: list[dict[str, object]] = []
    boxes: list[dict[str, object]] = []
    for image_id in ("e0.jpg", "e1.jpg"):
        uri = f"{run.uri}/images/{image_id}"
        storage.write_bytes(uri, buffer.getvalue())
        images.append({"image_id": image_id, "uri": uri, "split": "test"})
        images[-1] |= {"width": 400, "height": 300}
        boxes.append({"image_id": image_id, "class_name": name, "origin": "human", "round": 0})
        boxes[-1] |= dict(zip(XYXY, FOUND, strict=True))
    for stem, old, rows, columns in (
        ("images", dataset.images, images, IMAGE_COLUMNS),
        ("boxes", dataset.boxes, boxes, BOX_COLUMNS),
    ):
        table = pd.concat([old, build_table(rows, columns)], ignore_index=True)
        storage.write_bytes(f"{folder}/{stem}.parquet", to_parquet(table))


def _detection(image_id: str, name: str, score: float, box: tuple[int, ...]) -> dict[str, object]:
    return {"image_id": image_id, "class_name": name, "score": score} | dict(
        zip(XYXY, box, strict=True)
    )
