"""The step that asks the oracle: every detection of the round judged, people's questions queued."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment
from boxloop.ledger import Value, shard_values
from boxloop.oracle_settings import HUMAN, NOBODY, STUDY, OracleConfig

if TYPE_CHECKING:
    import pandas as pd

    from boxloop.data.dataset import Dataset
    from boxloop.oracle.calibration import Calibration
    from boxloop.oracle.gates import Rules

log = logging.getLogger(__name__)


class Judged(NamedTuple):
    """What the oracle said, and the detections that it may want again."""

    table: pd.DataFrame
    """As `boxloop.oracle.judge.judge` returns it."""
    good: pd.DataFrame
    """Detections that may be objects, with DETECTION_COLUMNS."""


def candidates(dataset: Dataset, config: OracleConfig) -> pd.DataFrame:
    """Return the pool images to detect in: all without people's boxes, none if nobody judges.

    By the study's rule an image with an adopted box is not looked at again.
    """
    images = dataset.candidates
    if config.by == NOBODY:
        return images.iloc[:0]
    if config.mode == STUDY:
        return images[~images["image_id"].isin(dataset.standing["image_id"])]
    return images


def match_labels(run: Run, round_number: int) -> Value:
    """Judge the detections of the pool, and ask people where they are to be asked."""
    import pandas as pd

    from boxloop.data.dataset import read_dataset, to_parquet
    from boxloop.oracle.adoptions import ADOPTION_COLUMNS, doubtful_boxes, proposed_boxes

    experiment = read_experiment(run.experiment)
    config, dataset = experiment.oracle, read_dataset(run.dataset(round_number))
    shards = shard_values(run.uri, round_number)
    unreadable = {k: v for shard in shards for k, v in shard["unreadable"].items()}
    calibration = _calibrate(run, round_number, dataset, config)
    uris = [uri for shard in shards for uri in shard["detections_uris"]]
    judged = _judge(uris, unreadable, dataset, config, calibration)
    origin: dict[str, Any] = {
        "round_number": round_number,
        "model": experiment.model.name,
        "mode": config.mode,
    }
    adopted = proposed_boxes(
        judged.table, dataset.standing, with_scores=config.score_weights, **origin
    )
    doubtful = doubtful_boxes(judged.good, adopted, doubt_score=config.doubt_score, **origin)
    adoptions = judged.table[list(ADOPTION_COLUMNS)]
    storage.write_bytes(run.adoptions(round_number), to_parquet(adoptions))
    proposed = pd.concat([adopted, doubtful], ignore_index=True)
    storage.write_bytes(run.proposed_boxes(round_number), to_parquet(proposed))
    return {
        **count_verdicts(adoptions),
        "unreadable": unreadable,
        "review_items": _ask_people(run, round_number, dataset, adoptions, uris),
    }


def count_verdicts(adoptions: pd.DataFrame) -> Value:
    """Return how many images were judged, how many boxes got each verdict, and why not."""
    from boxloop.oracle.adoptions import KEPT, MOVED, REJECTED, WITHDRAWN

    counts = adoptions["verdict"].value_counts()
    rejected = adoptions.loc[adoptions["verdict"] == REJECTED, "reason"].value_counts()
    return {
        "pool": int(adoptions["image_id"].nunique()),
        **{name: int(counts.get(name, 0)) for name in ("adopted", KEPT, MOVED, WITHDRAWN)},
        "rejected": {str(reason): int(rejected[reason]) for reason in sorted(rejected.index)},
    }


def _calibrate(
    run: Run, round_number: int, dataset: Dataset, config: OracleConfig
) -> Calibration | None:
    """Choose thresholds on the validation boxes, and write down what they rest on."""
    from boxloop.data.dataset import from_parquet
    from boxloop.oracle.calibration import calibrate
    from boxloop.oracle.gates import find_labelled

    if config.mode == STUDY:
        return None
    images = dataset.split("validation")
    found = find_labelled(
        from_parquet(storage.read_bytes(run.validation_detections(round_number))),
        dataset.boxes_in(images),
        dataset.class_names,
        _rules(config, {}),
    )
    calibration = calibrate(
        found, dataset.class_names, target=config.target_precision, min_score=config.min_score
    )
    bars = [dataclasses.asdict(bar) for bar in calibration.bars]
    storage.write_json(run.calibration(round_number), {"bars": bars, "boxes": len(found)})
    for bar in calibration.bars:
        log.info("%s", bar)
    return calibration


def _rules(config: OracleConfig, thresholds: dict[str, float]) -> Rules:
    from boxloop.oracle.gates import Rules

    is_study = config.mode == STUDY
    return Rules(
        thresholds=thresholds,
        min_agreement=0.0 if is_study else config.min_agreement,
        rival_margin=None if is_study else config.rival_margin,
        keep_score=config.min_score,
        several=config.several and not is_study,
        is_again=not is_study,
    )


def _judge(
    uris: list[str],
    unreadable: Iterable[str],
    dataset: Dataset,
    config: OracleConfig,
    calibration: Calibration | None,
) -> Judged:
    """Judge part by part, so that memory does not grow with the detections; then weigh classes."""
    import numpy as np
    import pandas as pd

    from boxloop.oracle.adoptions import LEFT_TO_PEOPLE, reject
    from boxloop.oracle.balance import cap_classes
    from boxloop.oracle.judge import judge

    flat = dict.fromkeys(dataset.class_names, config.min_score)
    rules = _rules(config, calibration.thresholds if calibration else flat)
    probability = calibration.probability if calibration else np.asarray
    tables, good = [], []
    for detections, images, is_read in _parts(uris, unreadable, dataset, config):
        if is_read:
            good.append(detections[detections["score"] >= config.doubt_score])
        its_rules = rules if is_read else dataclasses.replace(rules, is_again=False)
        tables.append(judge(detections, images, dataset, its_rules, probability))
    table = pd.concat(tables, ignore_index=True)
    if config.by == HUMAN:
        table = reject(table, table.index[table["verdict"] == "adopted"], LEFT_TO_PEOPLE)
    table = cap_classes(table, dataset.class_counts, config.class_cap)
    return Judged(table, pd.concat(good, ignore_index=True))


def _parts(
    uris: list[str], unreadable: Iterable[str], dataset: Dataset, config: OracleConfig
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, bool]]:
    """Give detections with their images, part by part, and whether those could be read.

    Last come the images in which nothing was detected, and those that could not be read.
    """
    from boxloop.data.dataset import DETECTION_COLUMNS, build_table, is_in

    rest = dataset.candidates.iloc[: 0 if config.by == NOBODY else None]
    for uri in uris:
        detections = read_detections([uri])
        is_here = is_in(rest["image_id"], detections["image_id"])
        yield detections, rest[is_here], True
        rest = rest[~is_here]
    is_read = ~rest["image_id"].isin(list(unreadable))
    nothing = build_table([], DETECTION_COLUMNS)
    yield nothing, rest[is_read], True
    yield nothing, rest[~is_read], False


def read_detections(uris: Sequence[str]) -> pd.DataFrame:
    """Return the detections in some parts, one after the other."""
    import pandas as pd

    from boxloop.data.dataset import DETECTION_COLUMNS, build_table, from_parquet

    tables = [from_parquet(storage.read_bytes(uri)) for uri in uris]
    return pd.concat([build_table([], DETECTION_COLUMNS), *tables], ignore_index=True)


def _ask_people(
    run: Run, round_number: int, dataset: Dataset, adoptions: pd.DataFrame, uris: list[str]
) -> int:
    """Write the review queue, if people are asked, and return its length."""
    experiment = read_experiment(run.experiment)
    if not experiment.oracle.asks_people:
        return 0
    from boxloop.data.dataset import from_parquet, to_parquet
    from boxloop.oracle.queue import build_queue

    before = run.adoptions(round_number - 1)
    previous = from_parquet(storage.read_bytes(before)) if round_number > 1 else None
    queue = build_queue(
        adoptions,
        read_detections(uris),
        dataset.images,
        dataset.boxes,
        config=experiment.review,
        seed=experiment.seed,
        previous=previous,
    )
    storage.write_bytes(run.queue(round_number), to_parquet(queue))
    return len(queue)
