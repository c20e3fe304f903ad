"""Rounds of a run without TensorFlow: what the tasks that need it would leave behind."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.data.dataset import (
    DETECTION_COLUMNS,
    Dataset,
    build_table,
    read_dataset,
    to_parquet,
)
from boxloop.ledger import run_once

MICRO = "tests/data/micro.yaml"


def plan(root: Path, run_id: str, **overrides: Any) -> Run:
    specs = steps.plan_rounds(MICRO, root=str(root), experiment_id=run_id, overrides=overrides)
    return Run(specs[0]["run_uri"])


def pretend(run: Run, round_number: int, name: str, value: dict[str, Any]) -> None:
    """Leave behind what a task that needs TensorFlow would."""
    run_once(run, round_number, name, lambda: value, started=0.0)


def run_round(
    run: Run,
    round_number: int,
    detections: pd.DataFrame,
    unreadable: Mapping[str, str] | None = None,
    people: Callable[[], None] | None = None,
    exported: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, run.uri, round_number)
    pretend(run, round_number, "train", {})
    pretend(run, round_number, "export", dict(exported or {}))
    validation = right_validation(read_dataset(run.dataset(round_number)))
    storage.write_bytes(run.validation_detections(round_number), to_parquet(validation))
    pretend(run, round_number, "evaluate", {"map50": 0.5, "map": 0.3, "ap50_per_class": {}})
    parts = detections.iloc[:2], detections.iloc[2:]
    uris = [run.detections(round_number, number, 2, "digest") for number in (1, 2)]
    for uri, part in zip(uris, parts, strict=True):
        storage.write_bytes(uri, to_parquet(part))
    unreadable = {"x.jpg": "it is a folder"} if unreadable is None else {**unreadable}
    found = {
        "detections_uris": uris,
        "embeddings_uris": [],
        "images": 24,
        "unreadable": unreadable,
    }
    pretend(run, round_number, "predict", found)
    steps.run_task("match_labels", run.uri, round_number)
    if people is not None:
        people()
    return steps.run_task("merge", run.uri, round_number)


def right_detections(run: Run, count: int) -> pd.DataFrame:
    """Return a detection of the right class in each of the first `count` pool images."""
    pool = read_dataset(run.dataset(1)).split("pool").head(count)
    rows: list[dict[str, object]] = [
        {"image_id": i, "class_name": label, "score": 0.9, "xmin": 8, "ymin": 8, "xmax": 90}
        | {"ymax": 90}
        for i, label in zip(pool["image_id"], pool["image_label"], strict=True)
    ]
    return build_table(rows, DETECTION_COLUMNS)


def right_validation(dataset: Dataset) -> pd.DataFrame:
    """Return the true boxes of the validation images as detections, and a wrong one far behind."""
    boxes = dataset.boxes_in(dataset.split("validation")).drop_duplicates("image_id")
    wrong = boxes.assign(score=0.3, xmin=0.0, ymin=0.0, xmax=2.0, ymax=2.0)
    found = pd.concat([boxes.assign(score=0.85), wrong]).assign(agreement=None)
    return found[list(DETECTION_COLUMNS)].astype(DETECTION_COLUMNS)
