"""What the oracle is worth, measured without anyone's labour: a rehearsal on validation images."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd

from boxloop.data.dataset import ADOPTED, BOX_COLUMNS, Dataset, build_table, fill_missing, is_in
from boxloop.data.splits import main_classes
from boxloop.oracle.growth import growth_rows
from boxloop.oracle.pool import Part, calibrate_oracle, judge_pool
from boxloop.oracle_settings import LABELS, OracleConfig

FOLDS = 5
FIGURES = ("precision", "recall", "mean_iou")


def rehearse(
    validation: pd.DataFrame, dataset: Dataset, config: OracleConfig
) -> dict[str, dict[str, Any]]:
    """Return how good the boxes are that the oracle would adopt in images that people boxed.

    A fifth of the validation images at a time plays the pool, its boxes hidden: thresholds come
    from the other four fifths, so that no image is judged by a bar that it helped to set.

    Args:
        validation: detections in the validation images, with DETECTION_COLUMNS.
        dataset: with their boxes.
        config: the oracle's settings; labels judge, and no class is cut to its share of a round,
            which means nothing in so few images.

    Returns:
        Class to FIGURES, as in `growth_rows`: None where there is nothing to measure.
    """
    images = _labelled(dataset)
    truth = dataset.boxes_in(images)
    adopted = pd.concat(
        [_judge_fold(fold, images, validation, dataset, config) for fold in range(FOLDS)],
        ignore_index=True,
    )
    boxes = fill_missing(adopted.assign(origin=ADOPTED), BOX_COLUMNS)
    nothing = build_table([], BOX_COLUMNS)
    rows = growth_rows(nothing, boxes, adopted[:0], truth, dataset.class_names)
    return {row["class_name"]: {figure: row[figure] for figure in FIGURES} for row in rows}


def _labelled(dataset: Dataset) -> pd.DataFrame:
    """Return the boxed validation images with a label each: their own, else the commonest class."""
    images = dataset.split("validation")
    boxes = dataset.boxes_in(images)
    boxed = images[is_in(images["image_id"], boxes["image_id"])].reset_index(drop=True)
    label = boxed["image_label"].fillna(boxed["image_id"].map(main_classes(boxes)))
    return boxed.assign(image_label=label.astype("string"))


def _judge_fold(
    fold: int,
    images: pd.DataFrame,
    validation: pd.DataFrame,
    dataset: Dataset,
    config: OracleConfig,
) -> pd.DataFrame:
    """Return what is adopted in a fold of the images, by the bar of the other folds."""
    is_own = pd.Series(images.index % FOLDS == fold, index=images.index)
    own, others = images[is_own], images[~is_own]
    rest = Dataset(
        pd.concat([dataset.split("train"), others]),
        dataset.boxes[~is_in(dataset.boxes["image_id"], own["image_id"])],
    )
    calibration = calibrate_oracle(
        validation[is_in(validation["image_id"], others["image_id"])], rest, config
    )
    part = Part(validation[is_in(validation["image_id"], own["image_id"])], own)
    gates = dataclasses.replace(config, by=LABELS, class_cap=0.0)
    table = judge_pool([part], rest, gates, calibration).table
    return table[table["verdict"] == ADOPTED]
