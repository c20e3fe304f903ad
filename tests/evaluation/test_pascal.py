"""Hand-worked cases of average precision."""

import math

import numpy as np
import pytest

from boxloop.evaluation.pascal import ImageResult, average_precision, pascal_metrics

Corners = tuple[float, float, float, float]
Found = tuple[Corners, int, float]

A, B, FAR = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (60.0, 60.0, 70.0, 70.0)
HALF = (0.0, 0.0, 10.0, 5.0)  # IoU 0.5 with A
LESS = (0.0, 0.0, 10.0, 4.9)


def result(truths: list[tuple[Corners, int]], found: list[Found]) -> ImageResult:
    return ImageResult(
        np.array([box for box, _ in truths], float).reshape(-1, 4),
        np.array([class_id for _, class_id in truths], int),
        np.array([box for box, _, _ in found], float).reshape(-1, 4),
        np.array([class_id for _, class_id, _ in found], int),
        np.array([score for _, _, score in found], float),
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([(A, 1, 0.9), (B, 1, 0.8)], 1.0, id="all found"),
        pytest.param([(A, 1, 0.9)], 0.5, id="one missed"),
        pytest.param([], 0.0, id="nothing found"),
        pytest.param([(HALF, 1, 0.9)], 0.5, id="just enough overlap"),
        pytest.param([(LESS, 1, 0.9)], 0.0, id="too little overlap"),
        pytest.param([(A, 2, 0.9)], 0.0, id="another class"),
        # precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: the area is 1/2 + 2/3 * 1/2
        pytest.param([(A, 1, 0.9), (FAR, 1, 0.8), (B, 1, 0.7)], 5 / 6, id="one wrong between"),
        pytest.param([(A, 1, 0.9), (A, 1, 0.8), (B, 1, 0.7)], 5 / 6, id="found twice is wrong"),
        # precision 0, 1/2, 2/3: the envelope is 2/3 all along
        pytest.param([(FAR, 1, 0.9), (A, 1, 0.8), (B, 1, 0.7)], 2 / 3, id="wrong comes first"),
    ],
)
def test_area_under_the_curve(found: list[Found], expected: float) -> None:
    image = result([(A, 1), (B, 1)], found)
    assert average_precision([image], 1) == pytest.approx(expected)


def test_scores_rank_over_all_images() -> None:
    images = [result([(A, 1)], [(FAR, 1, 0.9)]), result([(A, 1)], [(A, 1, 0.8)])]
    assert average_precision(images, 1) == pytest.approx(0.5 * 0.5)


def test_a_class_without_truth_is_nan_and_not_in_the_mean() -> None:
    metrics = pascal_metrics([result([(A, 1)], [(A, 1, 0.9), (B, 2, 0.9)])], ["cat", "dog"])
    assert metrics["PascalBoxes_Precision/mAP@0.5IOU"] == 1
    assert math.isnan(metrics["PascalBoxes_PerformanceByCategory/AP@0.5IOU/dog"])
    assert math.isnan(pascal_metrics([], ["cat"])["PascalBoxes_Precision/mAP@0.5IOU"])
