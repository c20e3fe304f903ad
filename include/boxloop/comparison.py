"""A champion and its challenger on the same test images: how much better one is.

Both are held against the same images and the same boxes. Images are drawn again and again with both
detectors' results, which tells by how much the difference could be another; see
boxloop/evaluation/bootstrap.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.child import interpreter
from boxloop.experiment import read_experiment
from boxloop.ledger import finished_value, recorded, task_value
from boxloop.nightly_settings import PromotionConfig
from boxloop.verdict import Change

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Value = dict[str, Any]


class Comparison(NamedTuple):
    """How much more a challenger has than a champion."""

    change: Change
    """Of all classes."""
    classes: Sequence[Change]
    """Of each class with enough boxes in the test set."""
    unguarded: Sequence[str]
    """The other classes."""


class TestSet(NamedTuple):
    """The fixed test set, as a run has it."""

    images: pd.DataFrame
    truth: pd.DataFrame
    """True boxes in them, of the classes that either detector knows."""
    class_names: Sequence[str]


def compare(run: Run, challenger: Value, best: Value, config: PromotionConfig) -> Comparison:
    """Compare a challenger with a champion, both as `boxloop.champion.describe` tells them.

    Args:
        run: the challenger's.
        challenger: whose stored evaluation is used.
        best: the champion: its stored evaluation where that fits, else it detects again.
        config: confidence of the intervals, and how many boxes of a class are enough.
    """
    test = _test_set(run, challenger, best)
    now, unreadable = _own_detections(run, challenger["round"])
    before, unread = _champion_detections(run, challenger["round"], best, test)
    images = test.images[~test.images["image_id"].isin([*unreadable, *unread])]
    change, classes = _changes(now, before, test._replace(images=images), run, config)
    guarded = {one.name for one in classes}
    return Comparison(change, classes, [name for name in test.class_names if name not in guarded])


def _test_set(run: Run, challenger: Value, best: Value) -> TestSet:
    from boxloop.data.dataset import is_in, read_dataset

    dataset = read_dataset(run.dataset(challenger["round"]))
    images = dataset.split("test")
    names = sorted({*challenger["class_names"], *best["class_names"]})
    boxes = dataset.boxes[is_in(dataset.boxes["image_id"], images["image_id"])]
    return TestSet(images, boxes[boxes["class_name"].isin(names)], names)


def _own_detections(run: Run, round_number: int) -> tuple[pd.DataFrame, list[str]]:
    """Return what a round's detector found in its test images, and which it could not read."""
    from boxloop.data.dataset import from_parquet

    found = from_parquet(storage.read_bytes(run.evaluated_detections(round_number)))
    return found, list(storage.read_json(run.evaluation(round_number)).get("unreadable", {}))


def _champion_detections(
    run: Run, round_number: int, best: Value, test: TestSet
) -> tuple[pd.DataFrame, list[str]]:
    """Return what the champion finds in the test images: as stored, else it is asked again."""
    from boxloop.data.dataset import from_parquet

    its_run, its_round = Run(best["run_uri"]), int(best["round"])
    if _is_stored(its_run, its_round, best, test) and _engine(its_run, its_round) == _engine(
        run, round_number
    ):
        log.info("The champion's evaluation of these test images is used again")
        return _own_detections(its_run, its_round)
    log.info("The champion detects in these test images: no evaluation of it fits")
    from boxloop.local_run import run_logged

    command = [interpreter(), "-m", "boxloop", "champion", "detect", best["bundle_uri"]]
    command += ["--digest", best["bundle_digest"], "--run", run.uri, "--round", str(round_number)]
    run_logged(command, "the champion's detection")
    return from_parquet(storage.read_bytes(run.champion_detections)), list(
        storage.read_json(f"{run.champion_detections}.json")
    )


def _engine(run: Run, round_number: int) -> str | None:
    """Return what ran a round's model when it was evaluated, None in evaluations of old."""
    found = storage.read_json(run.evaluation(round_number)).get("engine")
    return None if found is None else str(found)


def _is_stored(run: Run, round_number: int, best: Value, test: TestSet) -> bool:
    """Whether a champion's run has evaluated this very bundle on these very images."""
    from boxloop.data.dataset import read_dataset

    try:
        exported = task_value("export", run.uri, round_number)["digest"]
        if exported != best["bundle_digest"] or not finished_value(run, round_number, "evaluate"):
            return False
        images = read_dataset(run.dataset(round_number)).split("test")
    except FileNotFoundError:  # something of the run is gone
        return False
    columns = ["image_id", "sha256"]
    return bool(
        images[columns].reset_index(drop=True).equals(test.images[columns].reset_index(drop=True))
    )


def _changes(
    now: pd.DataFrame, before: pd.DataFrame, test: TestSet, run: Run, config: PromotionConfig
) -> tuple[Change, list[Change]]:
    """Return the difference in mAP@0.5, and in AP@0.5 of each class with enough boxes."""
    from boxloop.evaluation import difference_interval

    seed, ids = read_experiment(run.experiment).seed, test.images["image_id"]
    now, before, truth = (t[t["image_id"].isin(ids)] for t in (now, before, test.truth))

    def change(name: str, names: Sequence[str]) -> Change:
        own = [table[table["class_name"].isin(names)] for table in (now, before, truth)]
        found = difference_interval(
            own[0], own[1], own[2], test.images, names, seed=seed, confidence=config.confidence
        )
        return Change(name, *(None if math.isnan(edge) else edge for edge in found))

    asked = truth.loc[~truth["difficult"], "class_name"].value_counts()
    many = [name for name in test.class_names if asked.get(name, 0) >= config.min_class_boxes]
    return change("all classes", test.class_names), [change(name, [name]) for name in many]


def detect_with_champion(bundle_uri: str, digest: str, run_uri: str, round_number: int) -> str:
    """Detect with a champion in the test images of a run; return where the detections are.

    Raises:
        ValueError: if the bundle is another one than the digest says, or damaged.
    """
    from boxloop.data.dataset import read_dataset, to_parquet
    from boxloop.prediction import check_readable, detect, open_bundle

    run = Run(run_uri)
    images = read_dataset(run.dataset(round_number)).split("test")
    with storage.local_folder(bundle_uri) as folder:
        config = read_experiment(run.experiment).predict
        opened = open_bundle(folder, config, digest, where=bundle_uri)
        detections, unreadable = detect(opened, images)
    check_readable(unreadable, len(images))
    with recorded(run, "champion_detections"):
        storage.write_json(f"{run.champion_detections}.json", unreadable)
        storage.write_bytes(run.champion_detections, to_parquet(detections))
    return run.champion_detections
