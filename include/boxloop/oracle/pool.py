"""A whole pool judged by the settings of an experiment: from detections to boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from boxloop.data.dataset import ADOPTED, DOUBTFUL, XYXY, Dataset, is_in
from boxloop.data.lookup import RowsByImage
from boxloop.oracle.adoptions import LEFT_TO_PEOPLE, doubtful_boxes, proposed_boxes, reject
from boxloop.oracle.balance import cap_classes
from boxloop.oracle.calibration import Calibration, calibrate
from boxloop.oracle.gates import NOTHING_DETECTED, UNREADABLE, Rules, find_labelled
from boxloop.oracle.judge import NOT_AGAIN, judge
from boxloop.oracle_settings import GATED, HUMAN, STUDY, OracleConfig


class Part(NamedTuple):
    """Some images of the pool and what was detected in them."""

    detections: pd.DataFrame
    """With DETECTION_COLUMNS."""
    images: pd.DataFrame
    """With image_id and image_label, each once."""
    is_read: bool = True
    """Whether the images could be read; if not, their boxes stand as they are."""


class Judged(NamedTuple):
    """What the oracle said of a pool."""

    table: pd.DataFrame
    """As `judge` returns it."""
    good: pd.DataFrame
    """Detections that may be objects, with DETECTION_COLUMNS."""


def calibrate_oracle(
    validation: pd.DataFrame, dataset: Dataset, config: OracleConfig
) -> Calibration | None:
    """Choose thresholds on the validation boxes; None by the study's rule, which has none.

    Args:
        validation: detections in the validation images, with DETECTION_COLUMNS.
        dataset: with their boxes.
        config: with the target.
    """
    if config.mode == STUDY:
        return None
    images, names = dataset.split("validation"), dataset.class_names
    truth = dataset.boxes_in(images)
    found = find_labelled(validation, truth, images, names, _rules(config, None, dataset))
    return calibrate(found, names, target=config.target_precision)


def judge_pool(
    parts: Iterable[Part], dataset: Dataset, config: OracleConfig, calibration: Calibration | None
) -> Judged:
    """Judge part by part, so that memory does not grow with the detections; then weigh classes.

    Args:
        parts: at least one; no image in two.
        dataset: with the boxes that stand before the round, and those that people refused.
        config: the oracle's settings.
        calibration: as `calibrate_oracle` returns it.
    """
    rules = _rules(config, calibration, dataset)
    probability = calibration.probability if calibration else np.asarray
    standing, refused = RowsByImage(dataset.standing), RowsByImage(dataset.refused)
    tables, good = [], []
    for part in parts:
        ids = part.images["image_id"]
        its_dataset = Dataset(part.images, standing.of(ids), refused.of(ids))
        its_rules = replace(rules, is_again=rules.is_again and part.is_read)
        table = judge(part.detections, part.images, its_dataset, its_rules, probability)
        if not part.is_read:
            table["reason"] = table["reason"].replace(NOTHING_DETECTED, UNREADABLE)
        tables.append(table)
        good.append(part.detections[part.detections["score"] >= config.doubt_score])
    table = pd.concat(tables).sort_values("image_id", kind="stable", ignore_index=True)
    if config.by == HUMAN:
        table = reject(table, table.index[table["verdict"] == ADOPTED], LEFT_TO_PEOPLE)
    if config.mode == GATED:
        table = cap_classes(table, dataset.class_counts, config.class_cap)
    return Judged(table, pd.concat(good, ignore_index=True))


def propose(
    judged: Judged,
    shown: pd.DataFrame,
    dataset: Dataset,
    config: OracleConfig,
    *,
    round_number: int,
    model: str,
) -> pd.DataFrame:
    """Return the boxes that the detector is to have after a round, with BOX_COLUMNS.

    Args:
        judged: as `judge_pool` returns it.
        shown: image_id and box of what people are shown; what is doubtful beside these is proposed
            as well, since they may be accepted.
        dataset: that it was made with.
        config: the oracle's settings.
        round_number: the round, from 1.
        model: name of the detector.
    """
    adopted = proposed_boxes(
        judged.table,
        dataset.standing,
        round_number=round_number,
        model=model,
        mode=config.mode,
        with_scores=config.score_weights,
    )
    doubtful = doubtful_boxes(
        judged.good,
        pd.concat([adopted[["image_id", *XYXY]], shown[["image_id", *XYXY]].dropna()]),
        doubt_score=config.doubt_score,
        round_number=round_number,
        model=model,
        mode=config.mode,
    )
    # nobody looked at these images again: what is beside their boxes stays as well
    left = judged.table.loc[judged.table["reason"] == NOT_AGAIN, "image_id"]
    old = dataset.boxes[dataset.boxes["origin"] == DOUBTFUL]
    parts = [
        adopted,
        doubtful[~is_in(doubtful["image_id"], left)],
        old[is_in(old["image_id"], left)],
    ]
    return pd.concat(parts, ignore_index=True)


def _rules(config: OracleConfig, calibration: Calibration | None, dataset: Dataset) -> Rules:
    """Return the gates that the settings ask for."""
    is_study = config.mode == STUDY
    further = calibration.further_threshold if calibration else math.inf
    return Rules(
        min_score=config.min_score,
        thresholds=calibration.thresholds if calibration else dict.fromkeys(dataset.class_names, 0),
        min_agreement=0.0 if is_study else config.min_agreement,
        rival_lead=1.0 if is_study else config.rival_lead,
        further_threshold=further if config.several else math.inf,
        is_again=not is_study,
    )
