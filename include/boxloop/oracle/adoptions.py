"""What the oracle says to the pool: the table of verdicts, and the boxes that follow from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from boxloop.data.dataset import ADOPTED, BOX_COLUMNS, DOUBTFUL, XYXY, is_in
from boxloop.data.pairs import overlapping_pairs

ADOPTION_COLUMNS = {
    "image_id": "string",
    "image_label": "string",
    "class_name": "string",  # of the detection; null where nothing was detected
    "score": "float64",
    "xmin": "float64",
    "ymin": "float64",
    "xmax": "float64",
    "ymax": "float64",
    "agreement": "float64",
    "verdict": "string",  # adopted, kept, moved, withdrawn, rejected
    "is_adopted": "bool",  # the box is in the next dataset version
    "reason": "string",
    "p_right": "float64",  # calibrated probability that the detection is right
}
KEPT = "kept"  # a box of an earlier round stands as it was
MOVED = "moved"  # it stands where the new detection is
WITHDRAWN = "withdrawn"  # it stands no longer
REJECTED = "rejected"  # the detection that came closest in an image without a standing box
STANDING = (ADOPTED, KEPT, MOVED)

LEFT_TO_PEOPLE = "left to people"

SAME_OBJECT = 0.5  # IoU from which two boxes are of one object


def count_verdicts(adoptions: pd.DataFrame) -> dict[str, Any]:
    """Return how many images were judged, how many boxes got each verdict, and why not."""
    counts = adoptions["verdict"].value_counts()
    rejected = adoptions.loc[adoptions["verdict"] == REJECTED, "reason"].value_counts()
    return {
        "pool": int(adoptions["image_id"].nunique()),
        **{name: int(counts.get(name, 0)) for name in (*STANDING, WITHDRAWN)},
        "rejected": {str(reason): int(rejected[reason]) for reason in sorted(rejected.index)},
    }


def reject(judged: pd.DataFrame, rows: pd.Index, reason: str) -> pd.DataFrame:
    """Return the table with some rows rejected; an image that keeps no box shows its best row.

    Args:
        judged: as `judge` returns it.
        rows: of the index.
        reason: why.
    """
    is_out = judged.index.isin(rows)
    judged = judged.assign(
        verdict=judged["verdict"].mask(is_out, REJECTED),
        is_adopted=judged["is_adopted"] & ~is_out,
        reason=judged["reason"].mask(is_out, reason),
    )
    rejected = judged[judged["verdict"] == REJECTED]
    is_covered = is_in(rejected["image_id"], judged.loc[judged["is_adopted"], "image_id"])
    return judged.drop(index=rejected.index[is_covered | rejected.duplicated("image_id")])


def proposed_boxes(
    judged: pd.DataFrame,
    standing: pd.DataFrame,
    *,
    round_number: int,
    model: str,
    mode: str,
    with_scores: bool,
) -> pd.DataFrame:
    """Return the boxes that stand after a round.

    Args:
        judged: as `judge` returns it.
        standing: the adopted boxes before it, that `judged` numbers in its column `box`.
        round_number: the round, from 1.
        model: name of the detector.
        mode: the oracle's.
        with_scores: the score becomes the weight in training.

    Returns:
        A table with BOX_COLUMNS; those that were kept are as they were.
    """
    kept = standing.loc[judged.loc[judged["verdict"] == KEPT, "box"].astype(int)]
    new = judged[judged["verdict"].isin([ADOPTED, MOVED])]
    weight = new["score"] if with_scores else 1.0
    boxes = new.assign(origin=ADOPTED, round=round_number, model=model, mode=mode, weight=weight)
    return _in_order(pd.concat([kept, _box_table(boxes)]))


def doubtful_boxes(
    detections: pd.DataFrame,
    beside: pd.DataFrame,
    *,
    doubt_score: float,
    round_number: int,
    model: str,
    mode: str,
) -> pd.DataFrame:
    """Return what else may be an object beside some boxes; nobody confirmed it.

    Such an image may show more than was adopted. Taught as background, that would cost more than
    the adopted box brings; so training passes over detections that are good enough to be one. A
    detection that overlaps an adopted box by an IoU of 0.5 is its rival, and known to be wrong.

    Args:
        detections: with DETECTION_COLUMNS.
        beside: image_id and box of those that are, or may be, adopted.
        doubt_score: score in [0, 1] from which a detection counts.
        round_number: the round, from 1.
        model: name of the detector.
        mode: the oracle's.

    Returns:
        A table with BOX_COLUMNS.

    Source: Gao et al., "NOTE-RCNN", ICCV 2019, section 3.3: no negative loss on mined images.
    """
    is_beside = is_in(detections["image_id"], beside["image_id"])
    good = detections[is_beside & (detections["score"] >= doubt_score)]
    boxes = without_overlaps(good, beside).assign(
        origin=DOUBTFUL,
        round=round_number,
        model=model,
        mode=mode,
        weight=1.0,
        reason="nobody confirmed it",
    )
    return _in_order(_box_table(boxes))


def without_overlaps(boxes: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Return the boxes that lie over none of the others, of whatever class, by an IoU of 0.5."""
    is_apart = np.ones(len(boxes), bool)
    is_apart[overlapping_pairs(boxes, others, min_iou=SAME_OBJECT).first] = False
    return boxes[is_apart]


def _box_table(found: pd.DataFrame) -> pd.DataFrame:
    boxes = found.assign(difficult=False, author=None)
    return boxes[list(BOX_COLUMNS)].astype(BOX_COLUMNS)


def _in_order(boxes: pd.DataFrame) -> pd.DataFrame:
    """Sort boxes by image, the best first: the order in which detections came plays no part."""
    by = ["image_id", "score", "class_name", *XYXY]
    return boxes.sort_values(by, ascending=[True, False, *[True] * 5]).reset_index(drop=True)
