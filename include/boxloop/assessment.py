"""The step that evaluates: what the round's bundle finds in images whose boxes are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from boxloop import origin, prediction, storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment
from boxloop.ledger import Value

if TYPE_CHECKING:
    import pandas as pd

    from boxloop.data.dataset import Dataset

VALUE = ("images", "map50", "map50_interval", "map", "ap50_per_class")
"""What of the evaluation other tasks are handed."""


def evaluate(run: Run, round_number: int) -> Value:
    """Evaluate the round's bundle on the test split, at the threshold best for validation."""
    from boxloop.data.dataset import read_dataset, to_parquet
    from boxloop.report.event_file import write_evaluation_events

    dataset = read_dataset(run.dataset(round_number))
    config = read_experiment(run.experiment).predict
    with storage.local_folder(run.model(round_number)) as folder:
        opened = prediction.open_bundle(folder, config)
        validation, _ = prediction.detect(opened, dataset.split("validation"))
        detections, unreadable = prediction.detect(opened, dataset.split("test"))
    test = dataset.split("test")
    readable = test[~test["image_id"].isin(unreadable)]
    figures, images = _judge(run, round_number, dataset, validation, detections, readable)
    evaluation = {"split": "test", **figures, "unreadable": unreadable}
    storage.write_bytes(run.evaluated_detections(round_number), to_parquet(detections))
    storage.write_bytes(run.evaluated_images(round_number), to_parquet(images))
    storage.write_json(run.evaluation(round_number), evaluation)
    write_evaluation_events(run.uri, round_number)
    origin.complete_bundle(run.model(round_number), evaluation)
    return {name: evaluation[name] for name in VALUE}


def _judge(
    run: Run,
    round_number: int,
    dataset: Dataset,
    validation: pd.DataFrame,
    detections: pd.DataFrame,
    images: pd.DataFrame,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return all figures of the detections in some images, and a row for each image.

    Rounds are held against each other on the images that both could read.
    """
    from boxloop.evaluation import best_threshold, difference_interval, evaluate_detections

    names, truth = dataset.class_names, dataset.boxes_in(images)
    known = dataset.boxes_in(dataset.split("validation"))
    seed = read_experiment(run.experiment).seed
    figures, by_image = evaluate_detections(
        detections,
        truth,
        images,
        names,
        threshold=best_threshold(validation, known, names),
        seed=seed,
    )
    before = _detections_before(run, round_number)
    if before is not None:
        both = images[~images["image_id"].isin(_unreadable(run, round_number - 1))]
        now, then = (t[t["image_id"].isin(both["image_id"])] for t in (detections, before))
        change = difference_interval(now, then, dataset.boxes_in(both), both, names, seed=seed)
        edges = None if math.isnan(change.low) else [change.low, change.high]
        figures["map50_change_interval"] = edges
    return figures, by_image


def _detections_before(run: Run, round_number: int) -> pd.DataFrame | None:
    """Return what the round before found in its test images, None where there is no such round."""
    from boxloop.data.dataset import from_parquet

    uri = run.evaluated_detections(round_number - 1)
    if round_number == 1 or not storage.exists(uri):
        return None
    return from_parquet(storage.read_bytes(uri))


def _unreadable(run: Run, round_number: int) -> list[str]:
    """Return the test images that a round could not read, and so found nothing in."""
    return list(storage.read_json(run.evaluation(round_number)).get("unreadable", {}))
