"""Small tables of detections and true boxes, and a large random one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from boxloop.data.dataset import BOX_COLUMNS, DETECTION_COLUMNS, XYXY, build_table
from boxloop.evaluation.matching import Matches, Pairs, match, overlapping_pairs
from boxloop.evaluation.results import Results, build_results

Corners = tuple[float, float, float, float]
NAMES = ["cat", "dog"]
A, B, FAR = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (60.0, 60.0, 70.0, 70.0)
HALF = (0.0, 0.0, 10.0, 5.0)  # IoU 0.5 with A
LESS = (0.0, 0.0, 10.0, 4.9)
LITTLE = (0.0, 0.0, 10.0, 1.0)  # IoU 0.1 with A


def found(*rows: tuple[str, str, float, Corners]) -> pd.DataFrame:
    """Return detections: image, class, score, corners."""
    columns = ("image_id", "class_name", "score")
    return build_table(
        [dict(zip((*columns, *XYXY), (*row[:3], *row[3]), strict=True)) for row in rows],
        DETECTION_COLUMNS,
    )


def true(*rows: tuple[str, str, Corners], difficult: Sequence[int] = ()) -> pd.DataFrame:
    """Return true boxes: image, class, corners; the numbers of those that are difficult."""
    columns = ("image_id", "class_name", *XYXY)
    boxes = [dict(zip(columns, (*row[:2], *row[2]), strict=True)) for row in rows]
    for number, box in enumerate(boxes):
        box |= {"round": 0, "difficult": number in difficult}
    return build_table(boxes, BOX_COLUMNS)


def images(**labels: str | None) -> pd.DataFrame:
    """Return images with their labels."""
    columns = {"image_id": list(labels), "image_label": list(labels.values())}
    return pd.DataFrame(columns, dtype="string")


class Case(NamedTuple):
    results: Results
    pairs: Pairs
    matches: Matches


def case(
    detections: pd.DataFrame, truth: pd.DataFrame, names: Sequence[str] = tuple(NAMES)
) -> Case:
    """Return tables of images that all have a box, matched."""
    image_ids = sorted({*detections["image_id"], *truth["image_id"]})
    results = build_results(detections, truth, image_ids, names)
    pairs = overlapping_pairs(results)
    return Case(results, pairs, match(results, pairs))


def random_tables(
    seed: int, *, num_images: int = 30, difficult_share: float = 0.1
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """Return detections, truth, images and class names; boxes overlap, a tenth is difficult."""
    rng = np.random.default_rng(seed)
    names = ["ace", "king", "queen", "never shown"]
    ids = [f"{number:03d}.jpg" for number in range(num_images)]
    low = rng.uniform(0, 120, (num_images * 4, 2))
    boxes = np.hstack([low, low + rng.uniform(5, 130, low.shape)])
    of_image, of_class = rng.integers(0, num_images, len(low)), rng.integers(0, 3, len(low))
    truth = pd.DataFrame(boxes, columns=XYXY)
    truth = truth.assign(
        image_id=[ids[n] for n in of_image],
        class_name=[names[n] for n in of_class],
        difficult=rng.random(len(low)) < difficult_share,
    )
    source = rng.integers(0, len(low), len(low) * 5)
    moved = boxes[source] + rng.normal(0, 8, (len(source), 4))
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    is_right = rng.random(len(source)) < 0.7
    detections = pd.DataFrame(moved, columns=XYXY).assign(
        agreement=np.nan,
        image_id=[ids[n] for n in of_image[source]],
        class_name=[names[n] for n in np.where(is_right, of_class[source], source % 4)],
        score=rng.random(len(source)).round(2),  # with ties
    )
    labels = pd.DataFrame({"image_id": ids, "image_label": None}, dtype="string")
    return detections[list(DETECTION_COLUMNS)].astype(DETECTION_COLUMNS), truth, labels, names
