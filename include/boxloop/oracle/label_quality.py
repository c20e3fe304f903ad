"""How likely boxes of the training set are wrong, by what the detector finds in their images.

The scores are ObjectLab's: Tkachenko, Thyagarajan and Mueller, "ObjectLab: Automated Diagnosis of
Mislabeled Images in Object Detection Data", ICML workshop on data-centric machine learning, 2023,
with the constants of its authors' program (cleanlab 2). All are in [0, 1]; lower is worse.

An adopted box lies where its own detection was. So a score says most where a later model has
looked again: of a box that stands since an earlier round.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from boxloop.data.boxes import Boxes, iou_of_pairs
from boxloop.data.dataset import XYXY
from boxloop.data.pairs import pairs_by_image

ALPHA = 0.9  # weight of the IoU in the similarity of two boxes; the rest is their distance
NEARNESS = 0.1  # a pixel; e to the minus this times the distance of two centres is their nearness
LOW_SCORE = 0.5  # from which a detection says where a box of its class should be
HIGH_SCORE = 0.95  # from which one says that its class is another, or that a box is missing
TEMPERATURE = 0.1  # of the soft minimum over the overlooked objects of an image
KINDS = ("badly_located", "swapped", "overlooked")

Array = NDArray[np.float64]


class _Pairs(NamedTuple):
    """Boxes with the detections of their images, of any classes; all of shape (P,)."""

    boxes: NDArray[np.int64]
    detections: NDArray[np.int64]
    is_same_class: NDArray[np.bool_]
    similarity: Array


def label_quality(
    boxes: pd.DataFrame,
    detections: pd.DataFrame,
    *,
    low_score: float = LOW_SCORE,
    high_score: float = HIGH_SCORE,
) -> pd.DataFrame:
    """Return the scores of each box.

    Two boxes are similar by `ALPHA` times their IoU and the rest times the nearness of their
    centres. A box is badly located by its similarity to the closest detection of its class, and
    swapped by how unlike it is to the closest sure detection of another class. In an image a sure
    detection is overlooked by its similarity to the closest box of its class; where there is none,
    the score is the least similarity that occurs, times how unsure the detection is.

    Args:
        boxes: all that stand in some images: image_id, class_name, xmin, ymin, xmax, ymax.
        detections: of one model in those images; others are passed over.
        low_score: score in [0, 1] from which a detection counts at all.
        high_score: score in [0, 1] from which a detection is sure.

    Returns:
        The boxes in their order: image_id, class_name, xmin, ymin, xmax, ymax, badly_located,
        swapped, and overlooked, which is the same for all boxes of an image. 1 where there is
        nothing to hold against.
    """
    boxes = boxes[["image_id", "class_name", *XYXY]].reset_index(drop=True)
    detections = detections[detections["score"] >= low_score].reset_index(drop=True)
    pairs = _pair(boxes, detections)
    least = float(pairs.similarity[pairs.similarity > 0].min(initial=1.0))
    is_sure = (detections["score"] >= high_score).to_numpy(bool)
    is_rival = ~pairs.is_same_class & is_sure[pairs.detections]
    swapped = 1 - _most_similar(pairs, is_rival, pairs.boxes, len(boxes))
    return boxes.assign(
        badly_located=_badly_located(pairs, len(boxes)),
        swapped=np.maximum(swapped, least),
        overlooked=_overlooked(boxes, detections, is_sure, pairs, least),
    )


def worst(scores: pd.DataFrame, count: int, *, below: float) -> pd.DataFrame:
    """Return the boxes most in need of a look, at most one an image.

    The kinds take turns, the worst of each first: scores of different kinds do not compare, and
    that of an overlooked object of a new class is next to nothing.

    Args:
        scores: as `label_quality` returns them.
        count: how many at the most.
        below: only boxes with a score under this.

    Returns:
        Rows of `scores` with two columns more: `kind`, the score that it is about, and `quality`,
        its value.
    """
    by_kind = []
    for kind in KINDS:
        named = scores.assign(kind=kind, quality=scores[kind])
        ranked = named.sort_values(["quality", "image_id", "class_name", *XYXY])
        ranked = ranked[ranked["quality"] < below].drop_duplicates("image_id")
        by_kind.append(ranked.assign(_turn=range(len(ranked))))
    turns = pd.concat(by_kind).sort_values("_turn", kind="stable")
    return turns.drop_duplicates("image_id").head(count).drop(columns="_turn")


def _pair(boxes: pd.DataFrame, detections: pd.DataFrame) -> _Pairs:
    codes, _ = pd.factorize(pd.concat([boxes["image_id"], detections["image_id"]]))
    own, others = codes[: len(boxes)], codes[len(boxes) :]
    order = np.argsort(others, kind="stable")
    parts = list(pairs_by_image(own, others[order], int(codes.max(initial=-1)) + 1))
    box, place = (np.concatenate(column) for column in zip(*parts, strict=True))
    detection = order[place]
    names, _ = pd.factorize(pd.concat([boxes["class_name"], detections["class_name"]]))
    similarity = _similarity(
        boxes[XYXY].to_numpy(float)[box], detections[XYXY].to_numpy(float)[detection]
    )
    return _Pairs(box, detection, names[box] == names[len(boxes) + detection], similarity)


def _similarity(first_xyxy: Boxes, second_xyxy: Boxes) -> Array:
    """Return the similarity of pairs of boxes of shape (P, 4)."""
    centres = [(xyxy[:, :2] + xyxy[:, 2:]) / 2 for xyxy in (first_xyxy, second_xyxy)]
    distance = np.linalg.norm(centres[0] - centres[1], axis=1)
    similarity: Array = ALPHA * iou_of_pairs(first_xyxy, second_xyxy)
    similarity += (1 - ALPHA) * np.exp(-NEARNESS * distance)
    return similarity


def _most_similar(
    pairs: _Pairs, is_wanted: NDArray[np.bool_], among: NDArray[np.int64], length: int
) -> Array:
    """Return the highest similarity of each box or detection in some of the pairs, else 0."""
    highest = np.zeros(length)
    np.maximum.at(highest, among[is_wanted], pairs.similarity[is_wanted])
    return highest


def _badly_located(pairs: _Pairs, num_boxes: int) -> Array:
    is_met = np.zeros(num_boxes, bool)
    is_met[pairs.boxes[pairs.is_same_class]] = True
    closest = _most_similar(pairs, pairs.is_same_class, pairs.boxes, num_boxes)
    scores: Array = np.where(is_met, closest, 1.0)
    return scores


def _overlooked(
    boxes: pd.DataFrame,
    detections: pd.DataFrame,
    is_sure: NDArray[np.bool_],
    pairs: _Pairs,
    least: float,
) -> Array:
    """Return the score of each box's image: the soft minimum over its sure detections."""
    closest = _most_similar(pairs, pairs.is_same_class, pairs.detections, len(detections))
    unsure = least * (1 - detections["score"].to_numpy(float))
    scores = np.where(closest > 0, closest, unsure)[is_sure]
    weights = np.exp(-scores / TEMPERATURE)
    table = pd.DataFrame(
        {"image_id": detections.loc[is_sure, "image_id"], "sum": scores * weights, "of": weights}
    )
    sums = table.groupby("image_id")[["sum", "of"]].sum()
    pooled = (sums["sum"] / sums["of"]).to_dict()
    by_box = boxes["image_id"].map(pooled).astype(float).fillna(1.0)
    return np.asarray(by_box, dtype=np.float64)
