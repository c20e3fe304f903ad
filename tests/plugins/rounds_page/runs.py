"""Runs as their tasks leave them, made by hand: the demo's scenes, and boxes near the true ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import ADOPTED, XYXY, Dataset, to_parquet, write_dataset
from boxloop.data.demo import draw_demo
from boxloop.data.source import Source, read_source
from boxloop.experiment import build_data_config, experiment_yaml, read_experiment

STRANGER = "anna"
"""An admin, but not of this DAG."""
HIDDEN = "secret"
MICRO = Path(__file__).parents[2] / "data" / "micro.yaml"


def make_data(folder: Path) -> Source:
    draw_demo(folder / "data", seed=3, boxed=16, pool=24, validation=8, test=8)
    config = build_data_config({"uri": str(folder / "data")})
    return read_source(str(folder / "data"), config, seed=3)


def make_run(
    folder: Path,
    name: str,
    source: Source,
    *,
    rounds: int,
    done: int,
    classes: int = 0,
    **settings: Any,
) -> Run:
    """Return a run of which some rounds are done, each with what the page shows.

    Args:
        folder: the artifact root.
        name: of the run.
        source: the data; those of the last finished round are kept.
        rounds: that are planned.
        done: those that are finished.
        classes: further classes in the figures.
        settings: dotted names and values of the experiment.
    """
    run = Run.of(str(folder), name)
    settings = {"rounds": rounds, "data.uri": str(folder / "data"), **settings}
    storage.write_bytes(run.experiment, experiment_yaml(read_experiment(str(MICRO), settings)))
    names = [*source.dataset.class_names, *(f"class {n:02d}" for n in range(classes))]
    digest = None
    for number in range(1, done + 1):
        evaluation = _evaluation(number, done, names)
        marker = {"fingerprint": "", "value": evaluation}
        storage.write_json(run.marker(number, "evaluate"), marker)
        summary = _summary(number, evaluation, names)
        storage.write_json(run.summary(number), {**summary, "parent_digest": digest})
        digest = storage.digest(run.summary(number))
    for number in {1, done} - {0}:
        _show(run, number, source.dataset, source.truth)
    storage.write_bytes(run.report, b"<!doctype html><title>Report</title><h1>The report</h1>")
    return run


def _evaluation(number: int, done: int, names: list[str]) -> dict[str, Any]:
    noise = np.random.default_rng(number)
    mean = 0.35 + 0.55 * (1 - np.exp(-3 * number / done)) + noise.normal(0, 0.015)
    by_class = {name: float(np.clip(mean + noise.normal(0, 0.08), 0, 1)) for name in names}
    return {
        "split": "test",
        "images": 8,
        "map50": float(mean),
        "map50_interval": [float(mean - 0.05), float(min(mean + 0.05, 1))],
        "map": float(mean) / 2,
        "ap50_per_class": by_class,
        "operating": {"threshold": 0.5},
    }


def _summary(number: int, evaluation: dict[str, Any], names: list[str]) -> dict[str, Any]:
    growth = [
        {
            "class_name": name,
            "human": 40,
            "adopted": 5 * number + place,
            "reviewed": number,
            "total": 40 + 6 * number + place,
            "added": 6 if number > 1 else 6 + place,
            "withdrawn": 0,
            "precision": 0.97 - 0.01 * place,
            "recall": 0.6,
            "mean_iou": 0.88,
        }
        for place, name in enumerate(names)
    ]
    return {
        "round": number,
        "training_images": 16 + 8 * (number - 1),
        "candidates": 24,
        "pool": 24,
        "adopted": 7,
        "withdrawn": 1,
        "reviewed": 2,
        "measured_on": "pool",
        "agreement": 0.5,
        "growth": growth,
        "class_mix": {"entropy": 0.99, "gini": 0.02},
        **{key: evaluation[key] for key in ("map50", "map50_interval", "map", "ap50_per_class")},
    }


def _show(run: Run, number: int, dataset: Dataset, truth: pd.DataFrame) -> None:
    """Leave behind what was detected: near the true boxes, the second image missed."""
    write_dataset(run.dataset(number), dataset)
    evaluation = storage.read_json(run.marker(number, "evaluate"))["value"]
    storage.write_json(run.evaluation(number), evaluation)
    test = dataset.split("test")["image_id"]
    boxes = dataset.boxes[dataset.boxes["image_id"].isin(test)]
    found = _near(boxes[boxes["image_id"] != test.iloc[1]])
    storage.write_bytes(run.evaluated_detections(number), to_parquet(found))
    images = pd.DataFrame({"image_id": test, "is_right": [i != 1 for i in range(len(test))]})
    storage.write_bytes(run.evaluated_images(number), to_parquet(images))
    adopted = _near(truth.drop_duplicates("image_id")).assign(
        image_label=lambda rows: rows["class_name"], verdict=ADOPTED, reason="agrees"
    )
    storage.write_bytes(run.adoptions(number), to_parquet(adopted))


def _near(boxes: pd.DataFrame) -> pd.DataFrame:
    noise = np.random.default_rng(7).normal(0, 4, (len(boxes), 4))
    near = boxes[["image_id", "class_name"]].assign(score=0.83)
    near[list(XYXY)] = boxes[list(XYXY)].to_numpy(float) + noise
    return near
