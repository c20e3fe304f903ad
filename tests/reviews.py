"""A run on disk whose first round asks people about three images of its pool."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from tests.data.folders import HEIGHT, WIDTH, picture

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    Dataset,
    build_table,
    to_parquet,
    write_dataset,
)
from boxloop.data.formats.annotation import Box
from boxloop.oracle.answers import Decision
from boxloop.oracle.queue import QUEUE_COLUMNS

SURE = Box("ace", 2.125, 3.0, 22.5, 23.75)
DOUBTED = Box("king", 0.0, 0.0, 39.999, 29.5)
IMAGES = {"a/sure.jpg": SURE, "b/doubted.jpg": DOUBTED, "b/bare.v2.jpg": None}
CLASSES = ["ace", "king"]


def make_run(root: Path, rounds: int = 1, image_root: str | None = None) -> Run:
    """Write `rounds` dataset versions, each with a queue of IMAGES."""
    run = Run(str(root / "experiments" / "cards"))
    images, boxes = image_table(image_root or str(root / "images")), box_table()
    for number in range(1, rounds + 1):
        write_dataset(run.dataset(number), Dataset(images, boxes))
        storage.write_bytes(run.queue(number), to_parquet(queue_table()))
    return run


def image_table(folder: str) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for number, name in enumerate(["train.jpg", *IMAGES]):
        storage.write_bytes(f"{folder}/{name}", picture(number))
        row = {"image_id": name, "uri": f"{folder}/{name}", "width": WIDTH, "height": HEIGHT}
        split = "pool" if name in IMAGES else "train"
        rows.append({**row, "sha256": str(number), "split": split, "group": name})
    rows[1]["image_label"] = "ace"
    return build_table(rows, IMAGE_COLUMNS)


def box_table() -> pd.DataFrame:
    human = {"image_id": "train.jpg", "origin": "human", "round": 0, "weight": 1.0}
    boxes = (SURE, SURE._replace(class_name="king"))
    return build_table([{**human, **box._asdict()} for box in boxes], BOX_COLUMNS)


def queue_table() -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for image_id, box in IMAGES.items():
        fields = box._asdict() if box else {}
        fields.pop("difficult", None)
        rows.append({"image_id": image_id, "action": "verify" if box else "draw", **fields})
    rows[0]["image_label"] = "ace"
    return build_table(rows, QUEUE_COLUMNS)


def decision(image_id: str, action: str, *boxes: Box, **fields: Any) -> Decision:
    known: dict[str, Any] = {
        "seconds": 1.5,
        "author": "anna",
        "decided_at": "2026-11-23T01:02:03.456Z",
        "round": 1,
    }
    return Decision(image_id, action, boxes, **{**known, **fields})


def answer(**fields: Any) -> bytes:
    """A decision as it is sent: a rejection of the first image, but for some fields."""
    value = {
        "image_id": "a/sure.jpg",
        "action": "reject",
        "boxes": [],
        "seconds": 1.5,
        "author": "anna",
        "decided_at": "2026-11-23T01:02:03.456Z",
        "round": 1,
    }
    return json.dumps(value | fields).encode()


def sent(box: Box, **fields: Any) -> dict[str, Any]:
    """A box as it is sent."""
    value = box._asdict() | fields
    del value["difficult"]
    return value
