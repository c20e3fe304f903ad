"""Champion or challenger: who is better on the fixed test set, by more than noise.

Both are held against the same images and the same boxes. Images are drawn again and again with both
detectors' results, which tells by how much the difference could be another; see
boxloop/evaluation/bootstrap.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from boxloop import champion, storage
from boxloop.artifacts import Run
from boxloop.child import interpreter
from boxloop.experiment import read_experiment
from boxloop.ledger import finished_rounds, finished_value, task_value
from boxloop.nightly_settings import PromotionConfig
from boxloop.verdict import Change, Verdict, judge

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Value = dict[str, Any]


class TestSet(NamedTuple):
    """The fixed test set, as a run has it."""

    images: pd.DataFrame
    truth: pd.DataFrame
    """True boxes in them, of the classes that either detector knows."""
    class_names: Sequence[str]


def promote(
    run_uri: str,
    *,
    root: str,
    name: str,
    config: PromotionConfig,
    by: str,
    began: Mapping[str, Any] | None = None,
) -> Value:
    """Make the last detector of a run the champion if it is better; decided once for each run.

    Args:
        run_uri: the run's folder.
        root: the artifact root.
        name: of the champion.
        config: what is better.
        by: who asks, for the history.
        began: as `boxloop.nightly.Night.began` tells it: `champion`, the number of the record that
            the run began from, 0 for none. If another one is the newest by now, the champion stays.

    Returns:
        `is_promoted`; `reason`, in words; `challenger` and `champion`, before this, as
        `boxloop.champion.describe` tells them; `change`, the difference in mAP@0.5 with its
        interval; `classes`, the same by class; `record`, the number of the champion's record;
        `name`, the champion's; `began`.

    Raises:
        RuntimeError: if another champion was promoted meanwhile.
    """
    run = Run(run_uri.rstrip("/"))
    challenger = champion.describe(run, finished_rounds(run))
    if storage.exists(run.decision):
        decided = dict(storage.read_json(run.decision))
        if decided["challenger"]["bundle_digest"] == challenger["bundle_digest"]:
            return decided
    known = champion.history(root, name)
    mine = next((one for one in known if _is_promotion_of(one, challenger)), None)
    if mine is not None:  # it is compared with the champion before itself
        known = known[: mine["number"] - 1]
    began = began or {"champion": len(known)}
    if mine is None and began["champion"] != len(known):
        verdict = Verdict(False, _changed(known, began["champion"]), None, ())
    else:
        verdict = _verdict(run, challenger, known[-1] if known else None, config)
    if mine is not None:  # cut off after the record was written
        change_then = mine.get("change")
        change = Change(**change_then) if change_then else None
        verdict = Verdict(True, mine["reason"], change, verdict.classes)
    elif verdict.is_promoted:
        said: Value = {"how": champion.PROMOTED, "by": by, "reason": verdict.reason}
        said |= {"change": verdict.change._asdict() if verdict.change else None}
        mine = champion.append(root, name, challenger, len(known), **said)
    if began.get("anew"):
        verdict = verdict._replace(reason=f"{verdict.reason} {began['anew']}")
    log.info("%s", verdict.reason)
    decision = {
        "is_promoted": verdict.is_promoted,
        "reason": verdict.reason,
        "challenger": challenger,
        "champion": known[-1] if known else None,
        "change": verdict.change._asdict() if verdict.change else None,
        "classes": [one._asdict() for one in verdict.classes],
        "record": mine["number"] if mine else len(known),
        "name": name,
        "began": dict(began),
        "rule": vars(config).copy(),
    }
    storage.write_json(run.decision, decision)
    return decision


def _verdict(run: Run, challenger: Value, best: Value | None, config: PromotionConfig) -> Verdict:
    if best is None:
        return judge(challenger["map50"], None, (), config)
    if _is_same(best, challenger):
        return Verdict(False, "Kept: the challenger is the champion itself.", None, ())
    test = _test_set(run, challenger, best)
    now, unreadable = _own_detections(run, challenger["round"])
    before, unread = _champion_detections(run, challenger["round"], best, test)
    images = test.images[~test.images["image_id"].isin([*unreadable, *unread])]
    change, classes = _compare(now, before, test._replace(images=images), run, config)
    guarded = {one.name for one in classes}
    unguarded = [name for name in test.class_names if name not in guarded]
    return judge(challenger["map50"], change, classes, config, unguarded)


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


def _compare(
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
    found = storage.read_json(f"{bundle_uri}/bundle.json")["digest"]
    if found != digest:
        raise ValueError(
            f"{bundle_uri} is {found}, not the champion {digest}: it was exported anew"
        )
    images = read_dataset(run.dataset(round_number)).split("test")
    with storage.local_folder(bundle_uri) as folder:
        opened = open_bundle(folder, read_experiment(run.experiment).predict)
        detections, unreadable = detect(opened, images)
    check_readable(unreadable, len(images))
    storage.write_json(f"{run.champion_detections}.json", unreadable)
    storage.write_bytes(run.champion_detections, to_parquet(detections))
    return run.champion_detections


def _is_same(one: Value, other: Value) -> bool:
    return bool(one["bundle_digest"] == other["bundle_digest"])


def _is_promotion_of(record: Value, challenger: Value) -> bool:
    same = ("run_uri", "round", "bundle_digest")
    return record["how"] == champion.PROMOTED and all(record[n] == challenger[n] for n in same)


def _changed(known: Sequence[Value], before: int) -> str:
    how = f"record {len(known)} ({known[-1]['how']})" if known else "none"
    return (
        f"Kept: the champion was changed while this night ran; it began from record {before}, the "
        f"newest is {how}. A person's choice is not undone; the next night that has anything new "
        "goes on from it."
    )
