"""What a round's bundle is told of its origin, and the images that it is tested on."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any

from boxloop import pretrained, storage
from boxloop.artifacts import Run
from boxloop.bundle import METRICS
from boxloop.experiment import read_experiment
from boxloop.ledger import task_value
from boxloop.model_card import build_card
from boxloop.settings import Experiment

SAMPLES = 16
"""Images on which a bundle must detect what the detector detects."""
PACKAGES = ("boxloop", "tensorflow", "tf-models-official", "ai-edge-litert")

log = logging.getLogger(__name__)


def describe(run: Run, round_number: int) -> dict[str, Any]:
    """Return where a round's detector comes from, for its bundle.json."""
    experiment = read_experiment(run.experiment)
    parsed = task_value("parse_annotations", run.uri, round_number)
    return {
        "name": experiment.name,
        "round": round_number,
        "model": experiment.model.name,
        "task": experiment.model.task,
        "weights": _origin(experiment),
        "data": {
            "version": parsed["dataset_uri"].removeprefix(f"{run.uri}/"),
            "boxes_sha256": parsed["dataset_digest"],
            "training_images": parsed["training_images"],
            "adopted_images": parsed["training_images"] - parsed["splits"].get("train", 0),
        },
        "seed": experiment.seed,
        "versions": {package: version(package) for package in PACKAGES},
    }


def read_samples(dataset_uri: str) -> list[bytes]:
    """Return some test images, the same each time, as files that TensorFlow decodes."""
    from boxloop.data.dataset import read_dataset
    from boxloop.data.images import to_rgb

    images = read_dataset(dataset_uri).split("test")
    spread = images.iloc[:: max(1, len(images) // SAMPLES)].head(SAMPLES)
    samples = []
    for uri in spread["uri"]:
        try:
            samples.append(to_rgb(storage.read_bytes(uri)))
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read: %s", uri, error)
    if not samples:
        raise ValueError(f"{dataset_uri}: no test image can be read, a model cannot be tested")
    return samples


def complete_bundle(model_uri: str, evaluation: dict[str, Any]) -> None:
    """Add to a bundle what was found out with it: its figures and its model card."""
    described = storage.read_json(f"{model_uri}/bundle.json")
    storage.write_json(f"{model_uri}/{METRICS}", evaluation)
    storage.write_bytes(f"{model_uri}/MODEL_CARD.md", build_card(described, evaluation).encode())


def _origin(experiment: Experiment) -> dict[str, Any] | None:
    """Return the pretrained weights that the first round began with, None for none."""
    chosen = pretrained.choose(experiment.model, experiment.train.start)
    if chosen is None:
        return None
    kind, weights = chosen
    return {
        "kind": kind,
        "source": weights.source,
        "sha256": weights.sha256,
        "trained_on": weights.trained_on,
        "licence": weights.licence,
    }
