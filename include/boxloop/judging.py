"""The step that asks the oracle: every detection of the round judged, people's questions queued."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment
from boxloop.ledger import Value, task_value
from boxloop.oracle_settings import NOBODY, STUDY, OracleConfig, ReviewConfig
from boxloop.settings import Experiment

if TYPE_CHECKING:
    import pandas as pd

    from boxloop.data.dataset import Dataset
    from boxloop.oracle.calibration import Bar, Calibration
    from boxloop.oracle.decisions import Decision
    from boxloop.oracle.pool import Part

log = logging.getLogger(__name__)


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
    from boxloop.data.dataset import from_parquet, read_dataset, to_parquet
    from boxloop.oracle.adoptions import ADOPTION_COLUMNS, count_verdicts
    from boxloop.oracle.pool import calibrate_oracle, judge_pool, propose

    experiment = read_experiment(run.experiment)
    config, dataset = experiment.oracle, read_dataset(run.dataset(round_number))
    found = task_value("predict", run.uri, round_number)
    uris, unreadable = found["detections_uris"], found["unreadable"]
    validation = from_parquet(storage.read_bytes(run.validation_detections(round_number)))
    calibration = calibrate_oracle(validation, dataset, config)
    images = dataset.candidates.iloc[: 0 if config.by == NOBODY else None]
    judged = judge_pool(_parts(uris, unreadable, images), dataset, config, calibration)
    adoptions = judged.table[list(ADOPTION_COLUMNS)]
    queue = _build_questions(run, round_number, experiment, dataset, adoptions, found)
    proposed = propose(
        judged, queue, dataset, config, round_number=round_number, model=experiment.model.name
    )
    _write_calibration(run, round_number, calibration)
    storage.write_bytes(run.adoptions(round_number), to_parquet(adoptions))
    storage.write_bytes(run.proposed_boxes(round_number), to_parquet(proposed))
    if config.asks_people:  # last: who asks people reads what is proposed as well
        storage.write_bytes(run.queue(round_number), to_parquet(queue))
    return {
        **count_verdicts(adoptions),
        "unreadable": unreadable,
        "review_items": len(queue),
    }


def read_detections(uris: Sequence[str]) -> pd.DataFrame:
    """Return the detections in some parts, one after the other."""
    import pandas as pd

    from boxloop.data.dataset import DETECTION_COLUMNS, build_table, from_parquet

    tables = [from_parquet(storage.read_bytes(uri)) for uri in uris]
    return pd.concat([build_table([], DETECTION_COLUMNS), *tables], ignore_index=True)


def _parts(uris: list[str], unreadable: Iterable[str], images: pd.DataFrame) -> Iterator[Part]:
    """Give the images with their detections, a file at a time.

    Last come the images in which nothing was detected, and those that could not be read.
    """
    import pandas as pd

    from boxloop.data.lookup import RowsByImage
    from boxloop.oracle.pool import Part

    lookup, is_left = RowsByImage(images), pd.Series(True, index=images.index)
    for uri in uris:
        detections = read_detections([uri])
        its_images = lookup.of(detections["image_id"].drop_duplicates())
        its_images = its_images[is_left.loc[its_images.index].to_numpy()]
        is_left.loc[its_images.index] = False
        yield Part(detections, its_images)
    images = images[is_left]
    is_lost = images["image_id"].isin(list(unreadable))
    yield Part(read_detections([]), images[~is_lost])
    yield Part(read_detections([]), images[is_lost], is_read=False)


def _write_calibration(run: Run, round_number: int, calibration: Calibration | None) -> None:
    """Write down the threshold of each class and what it rests on; also in the log."""
    bars = [*calibration.bars, calibration.further] if calibration else []
    for bar in bars:
        log.info("%s", _in_words(bar))
    values = [dataclasses.asdict(bar) for bar in bars]
    storage.write_json(run.calibration(round_number), {"bars": values})


def _in_words(bar: Bar) -> str:
    """Say what a class needs: `cat: ahead by 0.21, right in 96 % [90, 99], seen 31 times`."""
    from boxloop.oracle.calibration import OUT_OF_REACH

    if bar.threshold >= OUT_OF_REACH:
        return f"{bar.class_name}: nothing is adopted, no lead makes it right often enough"
    low, high = (100 * end for end in bar.interval)
    text = (
        f"{bar.class_name}: ahead by {bar.threshold:.2f}, right in {100 * bar.precision:.0f} % "
        f"[{low:.0f}, {high:.0f}], seen {bar.boxes} times in validation"
    )
    return text if bar.is_reached else f"{text}; the target is not reached"


def _build_questions(
    run: Run,
    round_number: int,
    experiment: Experiment,
    dataset: Dataset,
    adoptions: pd.DataFrame,
    found: Value,
) -> pd.DataFrame:
    """Return the review queue; it is empty where nobody is asked."""
    from boxloop import review
    from boxloop.data.dataset import build_table, from_parquet
    from boxloop.embeddings import read_embeddings
    from boxloop.oracle.decisions import REJECT
    from boxloop.oracle.queue import QUEUE_COLUMNS, build_queue

    if not experiment.oracle.asks_people:
        return build_table([], QUEUE_COLUMNS)
    answers = review.decided_before(run, round_number)
    pool = dataset.split("pool")
    is_lost = pool["image_id"].isin(list(found["unreadable"]))
    before = run.adoptions(round_number - 1)
    previous = from_parquet(storage.read_bytes(before)) if round_number > 1 else None
    return build_queue(
        adoptions,
        read_detections(found["detections_uris"]),
        pool[~(pool["is_hidden"] | is_lost)],
        dataset.boxes,
        config=_measured(experiment.review, answers),
        seed=experiment.seed,
        asked={answer.image_id for answer in answers if answer.action == REJECT},
        previous=previous,
        embeddings=(
            read_embeddings(found["embeddings_uris"])
            if experiment.review.needs_embeddings
            else None
        ),
    )


def _measured(config: ReviewConfig, answers: list[Decision]) -> ReviewConfig:
    """Return the settings with what answers really took, once there are enough of them."""
    from boxloop.oracle.decisions import DRAW, VERIFY, median_seconds

    took = median_seconds(answers)
    return dataclasses.replace(
        config,
        verify_seconds=took.get(VERIFY, config.verify_seconds),
        draw_seconds=took.get(DRAW, config.draw_seconds),
    )
