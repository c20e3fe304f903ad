"""The label-match oracle: a detection is right when its class is the image's own label."""

from __future__ import annotations

import pandas as pd

from boxloop.data.boxes import iou_matrix
from boxloop.data.dataset import ADOPTED, BOX_COLUMNS, DOUBTFUL, XYXY

NOTHING_DETECTED = "nothing detected"
OTHER_CLASS = "class is not the image's label"
SAME_OBJECT = 0.5  # IoU from which two boxes are of one object


def match_labels(
    detections: pd.DataFrame, candidates: pd.DataFrame, *, min_score: float
) -> pd.DataFrame:
    """Say of every candidate image which detection it adopts, or why none.

    The best-scoring detection of the label's class is adopted. Equal scores are decided by the
    box's coordinates, so the order of the rows plays no part.

    Args:
        detections: image_id, class_name, score, xmin, ymin, xmax, ymax.
        candidates: images with image_id and image_label.
        min_score: score in [0, 1] that a detection must reach.

    Returns:
        One row an image, sorted by image_id: image_id, image_label, class_name, score, xmin,
        ymin, xmax, ymax, is_adopted, reason. A rejected row shows the detection that came
        closest: the best of the label's class, else the best of all, else nulls.
    """
    ranked = detections.sort_values(
        ["score", "class_name", *XYXY], ascending=[False, True, True, True, True, True]
    )
    found = candidates[["image_id", "image_label"]].merge(ranked, on="image_id", how="left")
    found["is_right"] = (found["class_name"] == found["image_label"]).fillna(False).astype(bool)
    # stable: within right and within wrong ones, the rank by score stays
    found = found.sort_values(["image_id", "is_right"], ascending=[True, False], kind="stable")
    best = found.drop_duplicates("image_id").reset_index(drop=True)
    best["is_adopted"] = best["is_right"] & (best["score"] >= min_score).fillna(False)
    best["reason"] = pd.Series(f"score below {min_score:g}", index=best.index, dtype="string")
    best.loc[~best["is_right"], "reason"] = OTHER_CLASS
    best.loc[best["score"].isna(), "reason"] = NOTHING_DETECTED
    best.loc[best["is_adopted"], "reason"] = ADOPTED
    columns = ["image_id", "image_label", "class_name", "score", *XYXY, "is_adopted", "reason"]
    return best[columns]


def adopted_boxes(adoptions: pd.DataFrame, *, round_number: int, model: str) -> pd.DataFrame:
    """Return the adopted detections as boxes for the next dataset version.

    Args:
        adoptions: as `match_labels` returns them.
        round_number: the round that adopts, from 1.
        model: name of the detector that found them.

    Returns:
        A table with BOX_COLUMNS, sorted by image_id.
    """
    adopted = adoptions[adoptions["is_adopted"]]
    return _box_table(adopted, ADOPTED, round_number, model)


def doubtful_boxes(
    detections: pd.DataFrame,
    adopted: pd.DataFrame,
    *,
    doubt_score: float,
    round_number: int,
    model: str,
) -> pd.DataFrame:
    """Return what else may be an object in the adopted images, though nobody confirmed it.

    An adopted image has one box, but may show more. Taught as background, they cost more than
    the adopted box brings; so training passes over detections that are good enough to be one. A
    detection that overlaps the adopted box by an IoU of 0.5 is its rival, and known to be wrong.

    Args:
        detections: image_id, class_name, score, xmin, ymin, xmax, ymax.
        adopted: as `adopted_boxes` returns them, one an image.
        doubt_score: score in [0, 1] from which a detection counts.
        round_number: the round that adopts, from 1.
        model: name of the detector that found them.

    Returns:
        A table with BOX_COLUMNS, sorted by image_id, best first.

    Source: Gao et al., "NOTE-RCNN", ICCV 2019, section 3.3: no negative loss on mined images.
    """
    good = detections[detections["score"] >= doubt_score]
    pairs = good.merge(adopted[["image_id", *XYXY]], on="image_id", suffixes=("", "_adopted"))
    adopted_xyxy = pairs[[f"{name}_adopted" for name in XYXY]].to_numpy(float)
    apart = [
        iou_matrix(found[None], own[None])[0, 0] < SAME_OBJECT
        for found, own in zip(pairs[XYXY].to_numpy(float), adopted_xyxy, strict=True)
    ]
    doubtful = pairs[pd.Series(apart, index=pairs.index, dtype=bool)]
    return _box_table(doubtful, DOUBTFUL, round_number, model)


def _box_table(found: pd.DataFrame, origin: str, round_number: int, model: str) -> pd.DataFrame:
    boxes = found.assign(
        origin=origin, round=round_number, model=model, weight=1.0, difficult=False
    )
    return boxes[list(BOX_COLUMNS)].astype(BOX_COLUMNS).reset_index(drop=True)
