"""The verdicts of a round: which detections stand as boxes, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from boxloop.data.boxes import iou_of_pairs
from boxloop.data.dataset import ADOPTED, DETECTION_COLUMNS, XYXY, Dataset, is_in
from boxloop.data.pairs import overlapping_pairs
from boxloop.oracle.adoptions import (
    ADOPTION_COLUMNS,
    KEPT,
    MOVED,
    REJECTED,
    SAME_OBJECT,
    STANDING,
    WITHDRAWN,
    without_overlaps,
)
from boxloop.oracle.gates import (
    NOT_BEST,
    NOTHING_DETECTED,
    OTHER_CLASS,
    RIVAL,
    Rules,
    find_faults,
    find_leads,
    pass_gates,
    rank,
)

Array = np.ndarray[Any, Any]

FIRM = 0.8  # IoU from which a box is in the same place, and stays as it is
NOT_FOUND = "the detector does not find it any more"
OUTDONE = "the detector is surer of another place"
FOUND_AGAIN = "found again"
NOT_AGAIN = "not judged again"


def judge(
    detections: pd.DataFrame,
    images: pd.DataFrame,
    dataset: Dataset,
    rules: Rules,
    probability: Callable[[Array], Array],
) -> pd.DataFrame:
    """Say of each image which boxes it has from now on, or why none.

    A box of an earlier round is kept where the detector finds it again, moved where it now finds
    it elsewhere (IoU under 0.8) and would adopt it there, and withdrawn where it finds nothing of
    the label's class there (IoU of 0.5), or another class as well. Beside those, detections that
    pass all gates are adopted. The order of rows plays no part: equal scores are decided by
    coordinates.

    Args:
        detections: in these images, with DETECTION_COLUMNS.
        images: image_id and image_label of each, each once.
        dataset: with the boxes that stand before the round, and those that people refused.
        rules: to go by.
        probability: of leads to be right ones.

    Returns:
        A table with ADOPTION_COLUMNS and `box`, the index of the standing box that a verdict is
        about or null; sorted by image, standing boxes first, at least one row an image. A rejected
        row shows the detection that came closest: the best of the label's class, else the best of
        all, else nulls.
    """
    ranked = _labelled(detections, images)
    ranked["fault"], ranked["lead"] = find_faults(ranked, rules), find_leads(ranked)
    ranked["reason"] = pass_gates(ranked, dataset.refused, rules)
    standing = dataset.standing[is_in(dataset.standing["image_id"], images["image_id"])]
    old = _judge_again(standing, ranked, rules) if rules.is_again else _leave(standing)
    new = _adopt(ranked, old[old["verdict"].isin(STANDING)], rules)
    has_box = pd.concat([old.loc[old["verdict"] != WITHDRAWN, "image_id"], new["image_id"]])
    without = images[~is_in(images["image_id"], has_box)]
    judged = pd.concat([old, new, _closest(ranked, without)], ignore_index=True)
    judged["p_right"] = probability(judged["lead"].to_numpy(float))
    judged.loc[judged["reason"] == OTHER_CLASS, "p_right"] = 0.0
    return _finish(judged, images)


def _labelled(detections: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return the detections in these images with their labels, best first."""
    labels = images.set_index("image_id")["image_label"]
    own = detections.loc[is_in(detections["image_id"], images["image_id"]), [*DETECTION_COLUMNS]]
    own = own.assign(image_label=own["image_id"].map(labels).astype("string"))
    return rank(own)


def _leave(standing: pd.DataFrame) -> pd.DataFrame:
    return _of_standing(standing).assign(verdict=KEPT, reason=NOT_AGAIN)


def _judge_again(standing: pd.DataFrame, ranked: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Hold each standing box against the best detection of the label's class in its place."""
    found = _best_in_place(standing, ranked[ranked["score"] >= rules.min_score])
    again = ranked.reindex(found).reset_index(drop=True)  # nulls where there is none
    old = _of_standing(standing)
    # a detection is of one object: of several boxes under it, the closest stands
    closest = np.lexsort((-_ious(old, again), found))
    is_found = np.zeros(len(old), bool)
    is_found[closest] = np.diff(found[closest], prepend=-1) > 0
    is_rivalled = again["fault"].eq(RIVAL).fillna(False).to_numpy(bool)
    is_sure = again["reason"].eq(ADOPTED).fillna(False).to_numpy(bool)
    is_outdone = ~is_sure & _is_outdone(old, ranked, rules)
    is_lost = ~is_found | is_rivalled | is_outdone
    is_moved = is_sure & ~is_lost & (_ious(old, again) < FIRM)
    old["verdict"] = np.select([is_lost, is_moved], [WITHDRAWN, MOVED], KEPT)
    reasons = [NOT_FOUND, RIVAL, OUTDONE]
    old["reason"] = np.select([~is_found, is_rivalled, is_outdone], reasons, FOUND_AGAIN)
    for name in ("score", *XYXY, "agreement"):
        old[name] = old[name].mask(is_moved, again[name])
    old["lead"] = again["lead"].fillna(0.0)
    return old


def _is_outdone(old: pd.DataFrame, ranked: pd.DataFrame, rules: Rules) -> Array:
    """Say of which boxes the image would rather adopt another, where it may have one only."""
    if math.isinf(rules.further_threshold):
        best = ranked.loc[ranked["reason"] == ADOPTED].drop_duplicates("image_id")
        elsewhere = without_overlaps(best, old)
        return is_in(old["image_id"], elsewhere["image_id"]).to_numpy(bool)
    return np.zeros(len(old), bool)


def _best_in_place(standing: pd.DataFrame, ranked: pd.DataFrame) -> Array:
    """Return the row of the best detection of the label's class over each box, -1 for none.

    Rows are in order of their scores, the best first, so a lower number is a better one.
    """
    pairs = overlapping_pairs(standing, ranked, min_iou=SAME_OBJECT)
    is_own = (ranked["reason"] != OTHER_CLASS).to_numpy(bool)[pairs.second]
    best = np.full(len(standing), len(ranked))
    np.minimum.at(best, pairs.first[is_own], pairs.second[is_own])
    return np.where(best < len(ranked), best, -1)


def _adopt(ranked: pd.DataFrame, old: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """Return the detections that join, none where a standing box is already."""
    good = ranked[ranked["reason"] == ADOPTED]
    good = without_overlaps(good, old)
    if math.isinf(rules.further_threshold):
        good = good[~is_in(good["image_id"], old["image_id"])]
    passed = [f"class is the image's label, {lead:.2f} ahead" for lead in good["lead"]]
    return good.assign(verdict=ADOPTED, reason=passed)


def _closest(ranked: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return of each image the detection that came closest, and why it was rejected."""
    is_own = (ranked["class_name"] == ranked["image_label"]).fillna(False)
    ordered = ranked.assign(is_own=is_own).sort_values("is_own", ascending=False, kind="stable")
    best = ordered.drop_duplicates("image_id").drop(columns=["is_own", "image_label"])
    rows = images[["image_id", "image_label"]].merge(best, on="image_id", how="left")
    reason = rows["reason"].fillna(NOTHING_DETECTED).replace(ADOPTED, NOT_BEST)
    return rows.assign(verdict=REJECTED, reason=reason)


def _of_standing(standing: pd.DataFrame) -> pd.DataFrame:
    columns = ["image_id", "class_name", "score", *XYXY]
    old = standing[columns].assign(agreement=np.nan, lead=np.nan, box=standing.index)
    return old.reset_index(drop=True)


def _ious(first: pd.DataFrame, second: pd.DataFrame) -> Array:
    return iou_of_pairs(first[XYXY].to_numpy(float), second[XYXY].to_numpy(float))


def _finish(judged: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    labels = images.set_index("image_id")["image_label"]
    judged["image_label"] = judged["image_id"].map(labels)
    judged["is_adopted"] = judged["verdict"].isin(STANDING)
    judged["box"] = judged["box"].astype("Int64")
    columns = {**ADOPTION_COLUMNS, "box": "Int64"}
    order = ["image_id", "is_adopted", "score", *XYXY]
    judged = judged[list(columns)].astype(columns)
    ascending = [True, False, False, *[True] * 4]
    return judged.sort_values(order, ascending=ascending, ignore_index=True, kind="stable")
