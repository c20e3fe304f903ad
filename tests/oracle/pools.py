"""Small pools to judge: every box is 10 x 10 pixels at y = 0."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from boxloop.data.dataset import (
    ADOPTED,
    BOX_COLUMNS,
    DETECTION_COLUMNS,
    IMAGE_COLUMNS,
    REFUSED_COLUMNS,
    Dataset,
    build_table,
)
from boxloop.oracle.gates import Rules
from boxloop.oracle.judge import judge

NAMES = ("ace", "king", "queen")


def place(x: float) -> dict[str, float]:
    return {"xmin": x, "ymin": 0.0, "xmax": x + 10, "ymax": 10.0}


def detections(*rows: tuple[str, str, float, float], agreement: float = 1.0) -> pd.DataFrame:
    """Rows of image, class, score and xmin."""
    named = [
        {"image_id": image, "class_name": name, "score": score, "agreement": agreement, **place(x)}
        for image, name, score, x in rows
    ]
    return build_table(named, DETECTION_COLUMNS)


def pool(**labels: str | None) -> pd.DataFrame:
    """Image to label."""
    rows: list[dict[str, object]] = [
        {"image_id": image, "image_label": label, "split": "pool", "width": 100, "height": 10}
        for image, label in labels.items()
    ]
    return build_table(rows, IMAGE_COLUMNS)


def dataset(
    images: pd.DataFrame,
    *standing: tuple[str, str, float],
    refused: tuple[tuple[str, str, float], ...] = (),
) -> Dataset:
    """Adopted and refused boxes: image, class and xmin."""
    boxes: list[dict[str, object]] = [
        {
            "image_id": image,
            "class_name": name,
            "origin": ADOPTED,
            "round": 1,
            "score": 0.7,
            "model": "first",
            "weight": 1.0,
            **place(x),
        }
        for image, name, x in standing
    ]
    no: list[dict[str, object]] = [
        {"image_id": image, "class_name": name, "round": 1, "author": "anna", **place(x)}
        for image, name, x in refused
    ]
    return Dataset(images, build_table(boxes, BOX_COLUMNS), build_table(no, REFUSED_COLUMNS))


def rules(**changes: Any) -> Rules:
    """Gates with a lead of 0.5 for every class, all of them shut."""
    values: dict[str, Any] = {
        "min_score": 0.2,
        "thresholds": dict.fromkeys(NAMES, 0.5),
        "min_agreement": 0.0,
        "rival_lead": 0.1,
        "further_threshold": 0.3,
        "is_again": True,
    }
    return Rules(**{**values, **changes})


def verdicts(found: pd.DataFrame, data: Dataset, by: Rules | None = None) -> pd.DataFrame:
    """Judge all images of a data set; a score is its own probability."""
    return judge(found, data.candidates, data, by or rules(), np.asarray)


def said(judged: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Image, verdict, class and xmin of each row; None where nothing was detected."""
    columns = ["image_id", "verdict", "class_name", "xmin"]
    rows = judged[columns].astype(object).where(judged[columns].notna(), None)
    return [tuple(row) for row in rows.to_numpy().tolist()]


def reasons(judged: pd.DataFrame) -> Mapping[str, str]:
    """Image to the reason of its last row."""
    return dict(zip(judged["image_id"], judged["reason"], strict=True))
