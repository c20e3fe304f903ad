"""The study's check by eye, without the eye: is an image's best detection of its class?

The 2018 study looked at 20 images of each class after a round, and called each T (the right class
has the best score), F (another has) or N (nothing was detected).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from boxloop.data.boxes import areas
from boxloop.evaluation.results import Results

IMAGES_PER_CLASS = 20
Z_95 = 1.959964  # 95 % of a normal distribution are within as many standard deviations
RIGHT, WRONG, NOTHING = "right", "wrong", "nothing"  # T, F and N


def hand_check(
    results: Results, images: pd.DataFrame, threshold: float, class_names: Sequence[str]
) -> dict[str, Any]:
    """Judge up to 20 images of each class by their best detection.

    An image's class is its image_label; where it has none, that of its largest true box. Images are
    chosen by a hash of their ids: the same ones every round.

    Args:
        results: of these images.
        images: image_id and image_label, sorted by image_id.
        threshold: score from which detections count.
        class_names: in the order of their ids.

    Returns:
        {"images_per_class", "half_width": of the 95 % interval of a class's share that is right,
        "rows": class -> {"right", "wrong", "nothing"}, "images": the chosen ones by class, each
        {"image_id", "class_name", "verdict", "score": of the best detection, nan if none}}.
    """
    chosen = _choose(images, _classes(results, images, class_names), class_names)
    best = _best_detections(results, images, threshold, class_names)
    chosen = chosen.join(best, on="image_id")
    chosen["verdict"] = np.select(
        [chosen["score"].isna(), chosen["found"] == chosen["class_name"]], [NOTHING, RIGHT], WRONG
    )
    counts = chosen.groupby(["class_name", "verdict"]).size()
    columns = ["image_id", "class_name", "verdict", "score"]
    return {
        "images_per_class": IMAGES_PER_CLASS,
        "half_width": half_width(0.5, IMAGES_PER_CLASS),
        "rows": {
            name: {verdict: int(counts.get((name, verdict), 0)) for verdict in _VERDICTS}
            for name in class_names
        },
        "images": chosen[columns].to_dict("records"),
    }


_VERDICTS = (RIGHT, WRONG, NOTHING)


def half_width(share: float, num: int) -> float:
    """Return half the width of Wilson's 95 % interval of a share seen in a number of images.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22, 1927.
    """
    z2 = Z_95**2
    return Z_95 / (1 + z2 / num) * math.sqrt(share * (1 - share) / num + z2 / (4 * num**2))


def _classes(results: Results, images: pd.DataFrame, class_names: Sequence[str]) -> pd.Series:
    """Return the class of each image, in their order, null where nothing says so."""
    order = np.argsort(areas(results.truth_boxes), kind="stable")  # of equal ones, the last stays
    largest = np.full(results.num_images, -1)
    largest[results.truth_images[order]] = results.truth_classes[order]
    names = np.array([*class_names, None], dtype=object)[largest]
    return images["image_label"].astype(object).where(images["image_label"].notna(), names)


def _choose(images: pd.DataFrame, classes: pd.Series, class_names: Sequence[str]) -> pd.DataFrame:
    """Return image_id and class_name of the images to judge, by class, then by hash."""
    table = pd.DataFrame({"image_id": images["image_id"], "class_name": classes})
    table["class_number"] = table["class_name"].map({n: i for i, n in enumerate(class_names)})
    table = table.dropna(subset=["class_number"])
    table["rank"] = [hashlib.sha256(name.encode()).hexdigest() for name in table["image_id"]]
    table = table.sort_values(["class_number", "rank"])
    return table.groupby("class_number").head(IMAGES_PER_CLASS)[["image_id", "class_name"]]


def _best_detections(
    results: Results, images: pd.DataFrame, threshold: float, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return class and score of each image's best detection, by image_id."""
    num_used = np.count_nonzero(results.scores >= threshold)  # the best come first
    numbers, first = np.unique(results.images[:num_used], return_index=True)
    return pd.DataFrame(
        {
            "found": [class_names[number] for number in results.classes[first]],
            "score": results.scores[first],
        },
        index=images["image_id"].to_numpy()[numbers],
    )
