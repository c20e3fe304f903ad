"""Every figure of evaluation.json from 5,000 images, 20 classes and 100 detections an image.

python benchmarks/evaluation.py     a minute or two; tables only, no image files

Prints `evaluation ratio`, progress going to stderr: our seconds, the choice of a threshold
included, over those that pycocotools takes for COCO's figures alone. It fails where ours are more
than 10 or COCO's figures differ.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from boxloop.data.dataset import BOX_COLUMNS, DETECTION_COLUMNS, XYXY
from boxloop.evaluation import DEFAULT_THRESHOLD, best_threshold, evaluate_detections
from boxloop.evaluation.results import Results, build_results

NUM_IMAGES, NUM_CLASSES = 5_000, 20
BOXES_PER_IMAGE, DETECTIONS_PER_IMAGE, GOOD_PER_IMAGE = 4, 100, 8
SECONDS_AT_MOST = 10

T = TypeVar("T")


def main() -> None:
    """Evaluate the same tables both ways."""
    names = [f"class_{number:02d}" for number in range(NUM_CLASSES)]
    ids = [f"image_{number:04d}.jpg" for number in range(NUM_IMAGES)]
    detections, truth = _tables(ids, names)
    labels = [names[number % NUM_CLASSES] for number in range(NUM_IMAGES)]
    images = pd.DataFrame({"image_id": ids, "image_label": labels}, dtype="string")

    chosen, best = _timed(lambda: best_threshold(detections, truth, names))
    threshold = DEFAULT_THRESHOLD if best is None else best
    _tell(f"{chosen:5.1f} s: chose a threshold, {threshold:.3f}")
    evaluated, (figures, _) = _timed(
        lambda: evaluate_detections(detections, truth, images, names, threshold=threshold, seed=1)
    )
    _tell(f"{evaluated:5.1f} s: every figure, mAP@0.5 {figures['map50']:.3f}")
    results = build_results(detections, truth, ids, names)
    plain, stats = _timed(lambda: _plain(results))
    _tell(f"{plain:5.1f} s: pycocotools, mAP {stats[0]:.3f}")
    if not np.allclose(stats[:3], [figures[name] for name in ("map", "map50_coco", "map75")]):
        sys.exit(f"COCO's figures differ: pycocotools has {stats[:3]}")
    if chosen + evaluated > SECONDS_AT_MOST:
        sys.exit(f"took {chosen + evaluated:.1f} s, the limit is {SECONDS_AT_MOST}")
    sys.stdout.write(f"evaluation ratio={(chosen + evaluated) / plain:.3f}\n")


def _tables(ids: list[str], names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return detections and true boxes; a few detections of each image are near a true box."""
    rng = np.random.default_rng(0)
    truth = _random_boxes(rng, NUM_IMAGES * BOXES_PER_IMAGE)
    classes = rng.integers(0, NUM_CLASSES, len(truth))
    num = NUM_IMAGES * DETECTIONS_PER_IMAGE
    found, found_classes = _random_boxes(rng, num), rng.integers(0, NUM_CLASSES, num)
    scores, of_image = rng.beta(1, 8, num), np.arange(num) // DETECTIONS_PER_IMAGE
    is_good = np.arange(num) % DETECTIONS_PER_IMAGE < GOOD_PER_IMAGE
    source = of_image[is_good] * BOXES_PER_IMAGE
    source += rng.integers(0, BOXES_PER_IMAGE, len(source))
    found[is_good] = truth[source] + rng.normal(0, 6, (len(source), 4))
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    is_known = rng.random(len(source)) < 0.8
    found_classes[is_good] = np.where(is_known, classes[source], found_classes[is_good])
    scores[is_good] = rng.beta(4, 3, len(source))
    detections = _table(found, of_image, found_classes, ids, names).assign(
        score=scores, agreement=None
    )
    true = _table(truth, np.arange(len(truth)) // BOXES_PER_IMAGE, classes, ids, names)
    true = true.assign(origin="human", round=0, score=None, model=None, weight=1, difficult=False)
    return (
        detections[list(DETECTION_COLUMNS)].astype(DETECTION_COLUMNS),
        true[list(BOX_COLUMNS)].astype(BOX_COLUMNS),
    )


def _random_boxes(rng: np.random.Generator, num: int) -> Any:
    low = rng.uniform(0, 200, (num, 2))
    return np.hstack([low, low + rng.uniform(10, 120, (num, 2))])


def _table(
    boxes: Any, of_image: Any, classes: Any, ids: list[str], names: list[str]
) -> pd.DataFrame:
    table = pd.DataFrame(boxes, columns=XYXY)
    return table.assign(image_id=np.array(ids)[of_image], class_name=np.array(names)[classes])


def _plain(results: Results) -> list[float]:
    """Return what pycocotools makes of the same boxes."""
    truth = COCO()
    columns = (results.truth_images, results.truth_classes, results.truth_boxes)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    truth.dataset = {
        "images": [{"id": number} for number in range(results.num_images)],
        "categories": [{"id": number} for number in range(results.num_classes)],
        "annotations": [
            {"id": number, "image_id": image, "category_id": class_id, "iscrowd": 0}
            | {"bbox": [x, y, x2 - x, y2 - y], "area": (x2 - x) * (y2 - y)}
            for number, (image, class_id, (x, y, x2, y2)) in enumerate(rows, start=1)
        ],
    }
    boxes = np.hstack([results.boxes[:, :2], results.boxes[:, 2:] - results.boxes[:, :2]])
    found = np.column_stack([results.images, boxes, results.scores, results.classes])
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(evaluation.stats)


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
