"""The label-match oracle: a detection is right when its class is the image's own label."""

from __future__ import annotations

import pandas as pd

from boxloop.data.dataset import BOX_COLUMNS, XYXY

ADOPTED = "adopted"
NOTHING_DETECTED = "nothing detected"
OTHER_CLASS = "class is not the image's label"


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
    adopted = adoptions[adoptions["is_adopted"]].assign(
        origin="adopted", round=round_number, model=model, weight=1.0
    )
    return adopted[list(BOX_COLUMNS)].astype(BOX_COLUMNS).reset_index(drop=True)
