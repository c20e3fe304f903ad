"""One function per task: read, call what is pure, write, return a small JSON value.

Every step is idempotent: see boxloop/ledger.py. What is heavy is imported by the step that needs
it, so that a DAG can import this module at no cost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from boxloop import (
    assessment,
    collected,
    judging,
    lease,
    merging,
    origin,
    prediction,
    storage,
    training,
)
from boxloop.artifacts import Run
from boxloop.borders import spreadsheet_csv
from boxloop.bundle import CARD, METRICS
from boxloop.contents import BUNDLES, WEIGHTS
from boxloop.experiment import read_experiment
from boxloop.ledger import (
    ROUND_TASKS,
    Value,
    brief,
    check_previous_round,
    finished_value,
    marker_name,
    recorded,
    run_once,
    task_value,
)
from boxloop.plan import plan_rounds
from boxloop.settings import Experiment

__all__ = [
    "CHILD_TASKS",
    "ROUND_TASKS",
    "brief",
    "check_previous_round",
    "finished_value",
    "plan_rounds",
    "report",
    "run_task",
    "task_value",
]

log = logging.getLogger(__name__)

CHILD_TASKS = frozenset({"train", "evaluate", "export", "predict"})  # they load models


def run_task(
    task: str,
    run_uri: str,
    round_number: int,
    *,
    worker: int = 0,
    workers: int = 1,
    started: float | None = None,
) -> Value:
    """Run one task of a round, or return what it returned before.

    Args:
        task: one of ROUND_TASKS.
        run_uri: the run's folder.
        round_number: from 1.
        worker: of `predict`: do the share of this one of several, from 1; 0: do all that is left.
        workers: how many there are.
        started: when the task began, in Unix seconds; by default now.
    """
    run = Run(run_uri)
    name = marker_name(task, worker, workers)
    once = partial(run_once, run, round_number, name, started=started or time.time())
    if task == "train":
        return training.run_train(run, round_number, once)
    if task == "export":
        return _run_export(run, round_number, once)
    if task == "predict":
        return once(lambda: predict(run, round_number, worker=worker, workers=workers))
    return once(lambda: _STEPS[task](run, round_number))


def _wants_export(run: Run, round_number: int) -> bool:
    """Whether somebody deleted a bundle to have it anew; `boxloop gc` deletes them for good."""
    if storage.exists(f"{run.model(round_number)}/bundle.json"):
        return False
    return collected.when(run, round_number, BUNDLES) is None


def _run_export(run: Run, round_number: int, once: Callable[[Callable[[], Value]], Value]) -> Value:
    """Export, unless that is done already, while no other process does.

    A SavedModel has other bytes each time: two at once would mix their files.
    """
    with lease.hold(run.export_lease(round_number)):
        if _wants_export(run, round_number):
            storage.delete(run.marker(round_number, "export"))
        return once(lambda: export(run, round_number))


def parse_annotations(run: Run, round_number: int) -> Value:
    """Make the first dataset version from the user's folder; later ones were made by `merge`."""
    from boxloop.data.dataset import read_dataset, to_parquet, write_dataset
    from boxloop.data.source import read_source, read_version

    if round_number == 1:
        experiment = _read_experiment(run)
        data, oracle = experiment.data, experiment.oracle
        if data.version is not None:
            source = read_version(data.version, hidden_share=oracle.hidden_share)
        else:
            source = read_source(
                str(data.uri),
                data,
                seed=experiment.seed,
                hidden_share=oracle.hidden_share,
                needs_labels=not oracle.asks_people,
            )
        storage.write_bytes(run.truth, to_parquet(source.truth))
        storage.write_bytes(run.set_aside, spreadsheet_csv(source.set_aside))
        write_dataset(run.dataset(1), source.dataset)
    dataset = read_dataset(run.dataset(round_number))
    counts = dataset.images["split"].value_counts()
    return {
        "dataset_uri": run.dataset(round_number),
        "dataset_digest": storage.digest(f"{run.dataset(round_number)}/boxes.parquet"),
        "class_names": dataset.class_names,
        "training_images": len(dataset.training_images),
        "candidates": len(dataset.candidates),
        "splits": {str(name): int(counts[name]) for name in sorted(counts.index)},
    }


def write_tfrecords(run: Run, round_number: int) -> Value:
    """Write the examples that this round adds or changes, and list all shards."""
    from boxloop.data.dataset import read_dataset
    from boxloop.records import read_manifest, shard_uris, write_records

    dataset = read_dataset(run.dataset(round_number))
    previous = read_manifest(run.records(round_number - 1)) if round_number > 1 else None
    manifest = write_records(run.records(round_number), dataset, previous)
    return {
        "shards": {name: shard_uris(manifest, name) for name in ("train", "validation", "test")},
        "examples": len(dataset.training_images),
    }


def export(run: Run, round_number: int) -> Value:
    """Export the round's detector as a bundle, and make sure that it detects the same."""
    from boxloop.detector import export as exporter

    dataset_uri = run.dataset(round_number)
    if not storage.list_files(run.weights(round_number)):
        why = collected.why_missing(run, round_number, WEIGHTS)
        raise ValueError(f"{run.weights(round_number)}: {why}, so nothing can be exported")
    description, samples = origin.describe(run, round_number), origin.read_samples(dataset_uri)
    uri = run.model(round_number)
    for old in storage.list_files(uri):  # figures stay: they name the bundle that they are of
        if not old.endswith((METRICS, CARD)):
            storage.delete(old)
    with (
        storage.local_folder(run.weights(round_number)) as weights,
        storage.working_folder(uri) as folder,
    ):
        bundle = exporter.export(
            _read_experiment(run),
            class_names=_class_names(run, round_number),
            weights_dir=weights,
            folder=folder,
            samples=samples,
            description=description,
        )
        storage.upload_folder(folder, uri, last="bundle.json")
    return {"model_uri": uri, "digest": bundle["digest"], "verified": bundle["verified"]}


def predict(run: Run, round_number: int, *, worker: int = 0, workers: int = 1) -> Value:
    """Detect in the candidate pool: as one of several workers, or in all that is left."""
    from boxloop.data.dataset import read_dataset

    experiment = _read_experiment(run)
    pool = prediction.Pool(
        run=run,
        round_number=round_number,
        candidates=judging.candidates(read_dataset(run.dataset(round_number)), experiment.oracle),
        config=experiment.predict,
        with_agreement=experiment.oracle.min_agreement > 0,
        with_embeddings=experiment.oracle.asks_people and experiment.review.needs_embeddings,
    )
    if worker:
        return prediction.predict_share(pool, worker, workers)
    return prediction.predict(pool, workers=workers)


def report(run_uri: str) -> Value:
    """Write the report of the rounds that have finished, and the data set that they came to."""
    from boxloop.data.dataset import from_parquet, read_dataset, write_dataset
    from boxloop.report.load import write_report

    run = Run(run_uri.rstrip("/"))
    with recorded(run, "report"):
        value = write_report(run_uri)
        final = read_dataset(run.dataset(value["rounds"] + 1))
        if final.images["is_hidden"].any():
            final = final.unhidden(from_parquet(storage.read_bytes(run.truth)))
        write_dataset(run.final_dataset, final)
    return {**value, "dataset_uri": run.final_dataset}


_STEPS: dict[str, Callable[[Run, int], Value]] = {
    "parse_annotations": parse_annotations,
    "write_tfrecords": write_tfrecords,
    "evaluate": assessment.evaluate,
    "match_labels": judging.match_labels,
    "merge": merging.merge,
}


def _read_experiment(run: Run) -> Experiment:
    return read_experiment(run.experiment)


def _class_names(run: Run, round_number: int) -> list[str]:
    return list(task_value("parse_annotations", run.uri, round_number)["class_names"])
