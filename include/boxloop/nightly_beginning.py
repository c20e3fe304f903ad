"""What a night begins with: its library, the champion's boxes and the champion's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxloop import plan, storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment

if TYPE_CHECKING:
    from boxloop.data.dataset import Dataset
    from boxloop.library import Version
    from boxloop.nightly import Night

Value = dict[str, Any]


def first_version(night: Night) -> Version:
    """Return the library of the first night: the champion's data, else the experiment's."""
    from boxloop.data.dataset import from_parquet, read_dataset
    from boxloop.data.source import read_source
    from boxloop.library import found_library

    best = night.champion
    if best is not None:
        run = Run(best["run_uri"])
        dataset, truth = read_dataset(_final(best)), from_parquet(storage.read_bytes(run.truth))
        return found_library(night.library, dataset, truth)
    experiment = plan.locate_data(night.experiment, night.root)
    source = read_source(
        str(experiment.data.uri),
        experiment.data,
        seed=experiment.seed,
        needs_labels=not experiment.oracle.asks_people,
    )
    return found_library(night.library, source.dataset, source.truth)


def _final(best: Value) -> str:
    """Return the data set that a champion's run came to."""
    run = Run(best["run_uri"])
    for uri in (run.final_dataset, run.dataset(best["round"] + 1), run.dataset(best["round"])):
        if storage.exists(f"{uri}/images.parquet"):
            return uri
    raise FileNotFoundError(f"{run.uri} has no data set any more: set another champion")


def begin(night: Night, digest: str) -> Value:
    """Return what a night's rounds begin with, as `Night.began` tells it."""
    from boxloop.data.dataset import read_dataset
    from boxloop.library import Version, carry_boxes, read_version, write_version

    settings: Value = {}
    anew, best = None, night.champion
    if best is not None:
        version = read_version(night.library, digest)
        start = carry_boxes(version, read_dataset(_final(best)))
        digest = write_version(night.library, Version(start, version.truth))
        if (anew := why_anew(night, best, start)) is None:
            settings["train.continue_from"] = Run(best["run_uri"]).round(best["round"])
            settings["train.continue_digest"] = best["weights_digest"]
    settings |= {"data.uri": night.library.uri, "data.version": night.library.version(digest)}
    return {"champion": best["number"] if best else 0, "settings": settings, "anew": anew}


def why_anew(night: Night, best: Value, start: Dataset) -> str | None:
    """Return why the first round cannot go on from a champion's weights, None where it can."""
    now, before = night.experiment.model, read_experiment(Run(best["run_uri"]).experiment).model
    if (now.experiment, now.overrides) != (before.experiment, before.overrides):
        return (
            f"The champion is a {before.name}, the night trains a {now.name}: the rounds begin "
            "anew, without the champion's weights."
        )
    if best["class_names"] != start.class_names:
        return (
            f"The champion knows {', '.join(best['class_names'])}, the library has "
            f"{', '.join(start.class_names)}: the rounds begin anew, without the champion's "
            "weights."
        )
    return None
