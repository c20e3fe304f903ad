"""The step that evaluates: what the round's bundle finds in images whose boxes are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from boxloop import origin, prediction, storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment
from boxloop.ledger import Value, exported_digest

if TYPE_CHECKING:
    import pandas as pd

    from boxloop.data.dataset import Dataset

VALUE = ("images", "map50", "map50_interval", "map50_change_interval", "map", "ap50_per_class")
"""What of the evaluation other tasks are handed."""


def evaluate(run: Run, round_number: int) -> Value:
    """Evaluate the round's bundle on the test split, at the threshold best for validation."""
    from boxloop.data.dataset import read_dataset, to_parquet
    from boxloop.report.event_file import write_evaluation_events

    dataset = read_dataset(run.dataset(round_number))
    experiment = read_experiment(run.experiment)
    model, digest = run.model(round_number), exported_digest(run, round_number)
    with storage.local_folder(model) as folder:
        opened = prediction.open_bundle(folder, experiment.predict, digest, where=model)
        validation, _ = prediction.detect(
            opened,
            dataset.split("validation"),
            with_agreement=experiment.oracle.min_agreement > 0,  # the oracle's thresholds need it
        )
        detections, unreadable = prediction.detect(opened, dataset.split("test"))
    test = dataset.split("test")
    prediction.check_readable(unreadable, len(test))
    readable = test[~test["image_id"].isin(unreadable)]
    figures, images = _judge(run, round_number, dataset, validation, detections, readable)
    evaluation = {"split": "test", **figures, "unreadable": unreadable}
    evaluation["engine"] = type(opened[0]).__name__  # detections of another differ a little
    storage.write_bytes(run.validation_detections(round_number), to_parquet(validation))
    storage.write_bytes(run.evaluated_detections(round_number), to_parquet(detections))
    storage.write_bytes(run.evaluated_images(round_number), to_parquet(images))
    storage.write_json(run.evaluation(round_number), evaluation)
    write_evaluation_events(run.uri, round_number)
    origin.complete_bundle(run.model(round_number), evaluation)
    return {name: evaluation.get(name) for name in VALUE}


def _judge(
    run: Run,
    round_number: int,
    dataset: Dataset,
    validation: pd.DataFrame,
    detections: pd.DataFrame,
    images: pd.DataFrame,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return all figures of the detections in some images, and a row for each image."""
    from boxloop.evaluation import DEFAULT_THRESHOLD, best_threshold, evaluate_detections

    names, truth = dataset.class_names, dataset.boxes_in(images)
    known = dataset.boxes_in(dataset.split("validation"))
    seed = read_experiment(run.experiment).seed
    chosen = best_threshold(validation, known, names)
    threshold = DEFAULT_THRESHOLD if chosen is None else chosen
    figures, by_image = evaluate_detections(
        detections, truth, images, names, threshold=threshold, seed=seed
    )
    figures["operating"]["threshold_from"] = "default" if chosen is None else "validation"
    before = _detections_before(run, round_number)
    if before is not None:
        both = images[~images["image_id"].isin(_unreadable(run, round_number - 1))]
        figures["map50_change_interval"] = _change(dataset, both, detections, before, seed)
    return figures, by_image


def _change(
    dataset: Dataset, images: pd.DataFrame, now: pd.DataFrame, before: pd.DataFrame, seed: int
) -> list[float] | None:
    """Return the interval of the change of mAP@0.5 on images that both rounds could read."""
    from boxloop.evaluation import difference_interval

    now, before = (table[table["image_id"].isin(images["image_id"])] for table in (now, before))
    truth, names = dataset.boxes_in(images), dataset.class_names
    change = difference_interval(now, before, truth, images, names, seed=seed)
    return None if math.isnan(change.low) else [change.low, change.high]


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
