"""COCO's average precision, by the library faster-coco-eval: pycocotools' numbers in less time.

Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014;
https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from boxloop.data.boxes import areas
from boxloop.evaluation.results import Array, Results
from boxloop.garbage import no_garbage

IOU_50, IOU_75 = 0, 5  # places in the table of precisions
ALL, SMALL, MEDIUM, LARGE = range(4)
PER_IMAGE = 100  # detections of a class that count in one image


def coco_figures(results: Results) -> dict[str, float]:
    """Return COCO's figures, each in [0, 1]; nan where there is no true box of the kind.

    A difficult box is what COCO calls a crowd: detections of its class that lie in it by half their
    own area, at an IoU of 0.5, are ignored, however many.

    Returns:
        "map": mean over IoU 0.5, 0.55 ... 0.95; "map75" and "map50_coco": at one; "map_small",
        "map_medium" and "map_large": of boxes below 32 x 32 pixels, from there to 96 x 96, above.
    """
    with no_garbage():  # half the time, else, of making a dict for each of many boxes
        precisions = _precisions(results)
    return {
        "map": _mean(precisions[..., ALL]),
        "map75": _mean(precisions[IOU_75, ..., ALL]),
        "map50_coco": _mean(precisions[IOU_50, ..., ALL]),
        "map_small": _mean(precisions[..., SMALL]),
        "map_medium": _mean(precisions[..., MEDIUM]),
        "map_large": _mean(precisions[..., LARGE]),
    }


def _precisions(results: Results) -> Array:
    """Return precisions by IoU, recall, class and size; -1 where there is nothing to find."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth, found = COCO(), COCO()
    truth.dataset = _dataset(
        results,
        results.truth_images,
        results.truth_classes,
        results.truth_boxes,
        iscrowd=results.is_difficult.astype(int),
    )
    found.dataset = _dataset(
        results, results.images, results.classes, results.boxes, score=results.scores
    )
    truth.createIndex()
    found.createIndex()
    evaluation = COCOeval_faster(truth, found, "bbox")
    evaluation.params.maxDets = [PER_IMAGE]
    evaluation.evaluate()
    evaluation.accumulate()
    precisions: Array = evaluation.eval["precision"][..., 0]
    return precisions


def _dataset(
    results: Results, images: Array, classes: Array, boxes: Array, **values: Array
) -> dict[str, Any]:
    """Return boxes as COCO has them; every number counts from 1, since 0 means none there."""
    order = np.argsort(images, kind="stable")  # what is evaluated together, together in memory
    columns = {
        "image_id": images + 1,
        "category_id": classes + 1,
        "bbox": np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]]),
        "area": areas(boxes),
        **values,
    }
    sorted_columns = (column[order].tolist() for column in columns.values())
    rows = zip(range(1, len(boxes) + 1), *sorted_columns, strict=True)
    return {
        "images": [{"id": number} for number in range(1, results.num_images + 1)],
        "categories": [{"id": number} for number in range(1, results.num_classes + 1)],
        "annotations": [dict(zip(("id", *columns), row, strict=True)) for row in rows],
    }


def _mean(precisions: Array) -> float:
    known = precisions[precisions > -1]
    return float(known.mean()) if len(known) else math.nan
