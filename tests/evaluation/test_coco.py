"""The library's figures are pycocotools', and difficult boxes are ignored."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.evaluation.tables import FAR, A, B, case, found, random_tables, true

from boxloop.evaluation.coco import coco_figures
from boxloop.evaluation.results import Results

OTHER_WAY_ROUND = ("map", "map50_coco", "map75", "map_small", "map_medium", "map_large")


def pycocotools(results: Results) -> list[float]:
    """Return its figures, -1 for what is nan here."""
    truth, detections = COCO(), COCO()
    truth.dataset = {
        "images": [{"id": n} for n in range(results.num_images)],
        "categories": [{"id": n} for n in range(results.num_classes)],
        "annotations": [
            {"id": 1 + n, "image_id": image, "category_id": class_id}
            | {"bbox": [x, y, x2 - x, y2 - y], "area": (x2 - x) * (y2 - y), "iscrowd": crowd}
            for n, (image, class_id, (x, y, x2, y2), crowd) in enumerate(
                zip(
                    results.truth_images.tolist(),
                    results.truth_classes.tolist(),
                    results.truth_boxes.tolist(),
                    results.is_difficult.astype(int).tolist(),
                    strict=True,
                )
            )
        ],
    }
    boxes = results.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    rows = np.column_stack([results.images, boxes, results.scores, results.classes])
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        detections = truth.loadRes(rows)
        evaluation = COCOeval(truth, detections, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:6]]


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_pycocotools(seed: int) -> None:
    detections, truth, _, names = random_tables(seed, difficult_share=0)
    results = case(detections, truth, names).results
    figures = coco_figures(results)
    assert [figures[name] for name in OTHER_WAY_ROUND] == pytest.approx(pycocotools(results))


@pytest.mark.parametrize("seed", range(3))
def test_a_difficult_box_is_a_crowd(seed: int) -> None:
    detections, truth, _, names = random_tables(seed, difficult_share=0.3)
    results = case(detections, truth, names).results
    figures = coco_figures(results)
    assert [figures[name] for name in OTHER_WAY_ROUND] == pytest.approx(pycocotools(results))


def test_what_lies_in_a_difficult_box_is_ignored() -> None:
    truth = true(("a", "cat", A), ("a", "cat", FAR), difficult=[1])
    part = (60.0, 60.0, 65.0, 65.0)  # a quarter of it, but all within
    rows = [("a", "cat", 0.9, FAR), ("a", "cat", 0.8, part), ("a", "cat", 0.7, A)]
    assert coco_figures(case(found(*rows), truth).results)["map"] == pytest.approx(1)
    wrong = found(*rows, ("a", "cat", 0.95, B))
    assert coco_figures(case(wrong, truth).results)["map"] == pytest.approx(0.5)


def test_sizes() -> None:
    small, medium, large = (0, 0, 31, 32), (0, 100, 40, 140), (200, 0, 300, 100)
    truth = true(*(("a", "cat", box) for box in (small, medium, large)))
    figures = coco_figures(case(found(("a", "cat", 0.9, medium)), truth).results)
    sizes = [figures[f"map_{name}"] for name in ("small", "medium", "large")]
    assert sizes == pytest.approx([0, 1, 0])


def test_without_true_boxes_every_figure_is_nan() -> None:
    for table in (found(), found(("a", "cat", 0.9, A))):
        assert all(map(math.isnan, coco_figures(case(table, true()).results).values()))


def test_without_detections_every_figure_is_0() -> None:
    figures = coco_figures(case(found(), true(("a", "cat", A))).results)
    assert (figures["map"], figures["map_small"]) == (0, 0)
    assert math.isnan(figures["map_large"])
