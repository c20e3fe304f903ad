"""The gates that a detection must pass to be adopted, and the reason where it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from boxloop.data.dataset import ADOPTED, XYXY, is_in
from boxloop.data.pairs import overlapping_pairs
from boxloop.evaluation.matching import match
from boxloop.evaluation.matching import overlapping_pairs as overlapping_pairs_of
from boxloop.evaluation.results import build_results
from boxloop.oracle.adoptions import SAME_OBJECT

Array = np.ndarray[Any, Any]

NOTHING_DETECTED = "nothing detected"
UNREADABLE = "the image cannot be read"
OTHER_CLASS = "class is not the image's label"
LOW_SCORE = "low score"
LITTLE_LEAD = "another box of the class scores nearly as high"
RIVAL = "another class fits the place better"
NOT_FIRM = "the box moves when the image is mirrored or made smaller"
REFUSED = "a person refused this box"
NOT_BEST = "another box of the image scores higher"
OVER_CAP = "the round has adopted enough of this class"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a detection must be like."""

    min_score: float
    """Score that a detection must reach in any case."""
    thresholds: Mapping[str, float]
    """Class to the lead that the best of an image's label must have, see `find_leads`."""
    min_agreement: float
    """IoU that its box must keep in the mirrored and the smaller image; 0: not asked."""
    rival_lead: float
    """How much higher the score of another class in its place must not be; 1: not asked."""
    further_threshold: float
    """Lead that all but the best of an image's label must have; infinite: one box an image."""
    is_again: bool
    """Judge the boxes of earlier rounds anew; else they stand for ever."""


def find_leads(detections: pd.DataFrame) -> pd.Series:
    """Return how far each detection is ahead of the next one of its class in its image.

    A detector that is torn between two places is often wrong in both. On the detections of seven
    rounds of photos of playing cards the lead told right boxes from wrong ones by an area under
    the curve of 0.87, the score by 0.71 (docs/oracle.md).

    Args:
        detections: all of some images, best first: image_id, class_name, score.

    Returns:
        The difference of the scores, in [0, 1]; the score where there is no other.
    """
    of_class = detections.groupby(["image_id", "class_name"], sort=False)["score"]
    return detections["score"] - of_class.shift(-1).fillna(0.0)


def rivalled(detections: pd.DataFrame, lead: float) -> Array:
    """Say of each detection whether another class lies over it with a score that much higher.

    Args:
        detections: with DETECTION_COLUMNS.
        lead: how much higher, in [0, 1].

    Returns:
        Shape (N,), bool.
    """
    pairs = overlapping_pairs(detections, detections, min_iou=SAME_OBJECT)
    classes, _ = pd.factorize(detections["class_name"])
    scores = detections["score"].to_numpy(float)
    is_rival = (classes[pairs.first] != classes[pairs.second]) & (
        scores[pairs.second] >= scores[pairs.first] + lead
    )
    found = np.zeros(len(detections), bool)
    found[pairs.first[is_rival]] = True
    return found


def find_faults(detections: pd.DataFrame, rules: Rules) -> pd.Series:
    """Return what is wrong with each detection whatever its score, ADOPTED where nothing is.

    Args:
        detections: all of some images, with DETECTION_COLUMNS.
        rules: to go by.
    """
    reason = pd.Series(ADOPTED, index=detections.index, dtype="string")
    if rules.min_agreement > 0:
        is_firm = (detections["agreement"] >= rules.min_agreement).fillna(False)
        reason[~is_firm.to_numpy(bool)] = NOT_FIRM
    if rules.rival_lead < 1:
        reason[rivalled(detections, rules.rival_lead)] = RIVAL
    return reason


def find_labelled(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    images: pd.DataFrame,
    class_names: Sequence[str],
    rules: Rules,
) -> pd.DataFrame:
    """Return the detections that the oracle would be asked about, and whether they are right.

    Those of the image-level label; where an image has none, or one without a box, of every class
    among its boxes. What fails a gate other than the score is left out, and what lies on a
    difficult box.

    Args:
        detections: all in the validation images, with DETECTION_COLUMNS.
        truth: their true boxes, with BOX_COLUMNS.
        images: image_id and image_label of each.
        class_names: in the order of class ids.
        rules: to go by, but for the thresholds.

    Returns:
        A table of class_name, lead, is_right, and is_best: the best of its class in its image.
    """
    known = _askable(truth, images)
    ranked = rank(detections)
    ranked["lead"] = find_leads(ranked)
    is_fair = (find_faults(ranked, rules) == ADOPTED).to_numpy(bool)
    own = ranked[is_fair & (ranked["score"] >= rules.min_score)]
    own = rank(own.merge(known, on=["image_id", "class_name"]))
    results = build_results(own, truth, list(truth["image_id"].unique()), class_names)
    matches = match(results, overlapping_pairs_of(results))
    found = own[["class_name", "lead"]].assign(
        is_right=matches.is_right, is_best=~own.duplicated(["image_id", "class_name"])
    )
    return found[~matches.is_ignored]


def rank(detections: pd.DataFrame) -> pd.DataFrame:
    """Return detections best first, numbered anew; equal scores are decided by all they have."""
    order = ["score", "image_id", "class_name", *XYXY]
    return detections.sort_values(order, ascending=[False, *[True] * 6], ignore_index=True)


def _askable(truth: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return image_id and class_name of what an oracle could be asked about in boxed images."""
    shown = truth[["image_id", "class_name"]].drop_duplicates()
    labels = shown["image_id"].map(images.set_index("image_id")["image_label"])
    is_label = (shown["class_name"] == labels).fillna(False)
    has_label = is_in(shown["image_id"], shown.loc[is_label, "image_id"])
    return shown[is_label | ~has_label]


def pass_gates(detections: pd.DataFrame, refused: pd.DataFrame, rules: Rules) -> pd.Series:
    """Return for each detection ADOPTED, or the first of the gates that it fails.

    Args:
        detections: all of some images, best first, with DETECTION_COLUMNS, image_label, `fault`
            as `find_faults` returns it, and `lead` as `find_leads` does.
        refused: boxes that people refused: image_id, class_name, box.
        rules: to go by.
    """
    reason = detections["fault"].copy()
    is_own = (detections["class_name"] == detections["image_label"]).fillna(False).to_numpy(bool)
    is_ahead = detections["lead"] >= _thresholds(detections, is_own, rules)
    reason[~is_ahead.to_numpy(bool)] = LITTLE_LEAD
    reason[(detections["score"] < rules.min_score).to_numpy(bool)] = LOW_SCORE
    reason[_is_refused(detections, refused)] = REFUSED
    reason[~is_own] = OTHER_CLASS
    return reason


def _thresholds(detections: pd.DataFrame, is_own: Array, rules: Rules) -> pd.Series:
    """Return the lead that each detection must have; null for classes that are not known."""
    thresholds = detections["class_name"].map(rules.thresholds).astype(float)
    own = detections.loc[is_own & (detections["fault"] == ADOPTED), "image_id"]
    is_further = own.duplicated().reindex(detections.index, fill_value=False)
    return thresholds.mask(is_further, rules.further_threshold)


def _is_refused(detections: pd.DataFrame, refused: pd.DataFrame) -> Array:
    is_whole = refused["class_name"].isna()
    found = is_in(detections["image_id"], refused.loc[is_whole, "image_id"]).to_numpy(
        bool, copy=True
    )
    refused = refused[~is_whole]
    pairs = overlapping_pairs(detections, refused, min_iou=SAME_OBJECT)
    names, others = (table["class_name"].to_numpy(object) for table in (detections, refused))
    found[pairs.first[names[pairs.first] == others[pairs.second]]] = True
    return found
