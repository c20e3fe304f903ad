"""What a round's bundle is told of its origin, and the images that it is tested on."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any

from boxloop import pretrained, storage
from boxloop.artifacts import Run
from boxloop.borders import masked
from boxloop.bundle import CARD, METRICS
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
    from boxloop.inference.stream import GONE

    images = read_dataset(dataset_uri).split("test")
    spread = images.iloc[:: max(1, len(images) // SAMPLES)].head(SAMPLES)
    samples = []
    for uri in spread["uri"]:
        try:
            samples.append(_read_sample(uri))
        except (*GONE, ValueError) as error:
            log.warning("%s cannot be read: %s", uri, error)
    if not samples:
        raise ValueError(f"{dataset_uri}: no test image can be read, a model cannot be tested")
    return samples


def _read_sample(uri: str) -> bytes:
    """Read a file that TensorFlow decodes, to the same pixels as OpenCV: CMYK it does not."""
    from boxloop.data.images import open_image, to_png, to_rgb

    content = storage.read_bytes(uri)
    return to_png(content) if open_image(content).mode == "CMYK" else to_rgb(content)


def complete_bundle(model_uri: str, evaluation: dict[str, Any]) -> None:
    """Add to a bundle what was found out with it: its figures and its model card."""
    bundle = storage.read_json(f"{model_uri}/bundle.json")
    metrics = {**evaluation, "bundle_digest": bundle["digest"]}
    storage.write_json(f"{model_uri}/{METRICS}", metrics)
    storage.write_bytes(f"{model_uri}/{CARD}", build_card(bundle, evaluation).encode())


def _origin(experiment: Experiment) -> dict[str, Any] | None:
    """Return the pretrained weights that the first round began with, None for none."""
    chosen = pretrained.choose(experiment.model, experiment.train.start)
    if chosen is None:
        return None
    kind, weights = chosen
    return {
        "kind": kind,
        "source": masked(weights.source),
        "sha256": weights.sha256,
        "trained_on": weights.trained_on,
        "licence": weights.licence,
    }
