"""Hand-worked cases of average precision."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.tables import (
    FAR,
    HALF,
    LESS,
    NAMES,
    A,
    B,
    Corners,
    case,
    found,
    random_tables,
    true,
)

from boxloop.data.boxes import iou_matrix
from boxloop.evaluation.coco import coco_figures
from boxloop.evaluation.pascal import (
    ImageResult,
    class_precisions,
    mean_precision,
    pascal_metrics,
)
from boxloop.evaluation.results import Results

CAT, DOG = (f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}" for name in NAMES)
MEAN = "PascalBoxes_Precision/mAP@0.5IOU"
Found = tuple[Corners, int, float]


def result(truths: list[tuple[Corners, int]], found: list[Found]) -> ImageResult:
    return ImageResult(
        np.array([box for box, _ in truths], float).reshape(-1, 4),
        np.array([class_id for _, class_id in truths], int),
        np.array([box for box, _, _ in found], float).reshape(-1, 4),
        np.array([class_id for _, class_id, _ in found], int),
        np.array([score for _, _, score in found], float),
    )


def precisions(detections: pd.DataFrame, truth: pd.DataFrame) -> list[float]:
    results, _, matches = case(detections, truth)
    return [float(value) for value in class_precisions(results, matches)]


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
        pytest.param([(A, 1, 0.9), (A, 0, 1.0), (A, 3, 1.0)], 0.5, id="ids of no class"),
    ],
)
def test_area_under_the_curve(found: list[Found], expected: float) -> None:
    image = result([(A, 1), (B, 1)], found)
    assert pascal_metrics([image], NAMES)[CAT] == pytest.approx(expected)


def test_scores_rank_over_all_images() -> None:
    images = [result([(A, 1)], [(FAR, 1, 0.9)]), result([(A, 1)], [(A, 1, 0.8)])]
    assert pascal_metrics(images, ["cat"])[CAT] == pytest.approx(0.5 * 0.5)


def test_a_class_without_truth_is_nan_and_not_in_the_mean() -> None:
    metrics = pascal_metrics([result([(A, 1)], [(A, 1, 0.9), (B, 2, 0.9)])], NAMES)
    assert metrics[MEAN] == 1
    assert math.isnan(metrics[DOG])
    assert math.isnan(pascal_metrics([], ["cat"])[MEAN])


def test_a_difficult_box_is_neither_to_be_found_nor_wrong_to_find() -> None:
    truth = true(("a", "cat", A), ("a", "cat", B), ("a", "dog", B), difficult=[1])
    once = found(("a", "cat", 0.9, B), ("a", "cat", 0.8, B), ("a", "cat", 0.7, A))
    assert precisions(once, truth) == [1, 0]  # twice on B is not wrong either
    other = found(("a", "dog", 0.9, A), ("a", "dog", 0.8, B))
    # being difficult is a cat's affair: a dog there is wrong, 1/2 is right in the end
    assert precisions(other, true(("a", "cat", A), ("a", "dog", B), difficult=[0])) == (
        pytest.approx([math.nan, 0.5], nan_ok=True)
    )


def test_a_class_with_difficult_boxes_alone_is_nan() -> None:
    truth = true(("a", "cat", A), difficult=[0])
    assert all(map(math.isnan, precisions(found(("a", "cat", 0.9, A)), truth)))


def test_a_detection_goes_to_the_box_it_overlaps_most_even_if_that_is_taken() -> None:
    """VOC's rule; COCO would give it the other box, which it overlaps by 0.5 as well."""
    shifted = (2.0, 0.0, 12.0, 10.0)  # IoU 80/120 with A
    truth = true(("a", "cat", A), ("a", "cat", shifted))
    both = case(found(("a", "cat", 0.9, A), ("a", "cat", 0.8, A)), truth)
    assert both.matches.is_right.tolist() == [True, False]
    assert class_precisions(both.results, both.matches)[0] == 0.5
    assert coco_figures(both.results)["map50_coco"] == pytest.approx(1)


def test_of_equal_scores_the_order_of_rows_plays_no_part() -> None:
    rows = [(image, "cat", 0.5, box) for image in "abc" for box in (A, B, FAR)]
    truth = true(("b", "cat", FAR), ("c", "cat", A))
    # a, a, a, b, b, b (right), c (right): 1/6 and 2/7, of 2
    expected = pytest.approx((2 / 7 + 2 / 7) / 2)
    assert precisions(found(*rows), truth)[0] == expected
    assert precisions(found(*rows[::-1]), truth[::-1])[0] == expected


@given(st.data())
def test_it_is_cocos_figure_but_for_the_101_points_where_true_boxes_lie_apart(
    data: st.DataObject,
) -> None:
    places = data.draw(st.lists(st.tuples(*[st.integers(0, 4)] * 2), min_size=1, unique=True))
    truth = [("a", "cat", (20.0 * x, 20.0 * y, 20.0 * x + 16, 20.0 * y + 16)) for x, y in places]
    shifts = st.lists(st.tuples(st.sampled_from(truth), *[st.integers(-6, 6)] * 4), max_size=20)
    moved = [
        tuple(edge + shift for edge, shift in zip(box, by, strict=True))
        for (_, _, box), *by in data.draw(shifts)
    ]
    scores = data.draw(st.permutations(range(len(moved))))
    rows = [
        ("a", "cat", n / 20, (x, y, x2, y2))
        for n, (x, y, x2, y2) in zip(scores, moved, strict=True)
    ]
    results, _, matches = case(found(*rows), true(*truth))
    ours = mean_precision(class_precisions(results, matches))
    # a falling curve's mean over 101 points is at most that far from its area
    assert ours == pytest.approx(coco_figures(results)["map50_coco"], abs=1 / 100 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_as_the_devkit_draws_it(seed: int) -> None:
    """VOCap.m and VOCevaldet.m, written down as they are."""
    detections, truth, _, names = random_tables(seed)
    results, _, matches = case(detections, truth, names)
    for number, value in enumerate(class_precisions(results, matches)):
        assert value == pytest.approx(_devkit(results, number), nan_ok=True)


def _devkit(results: Results, number: int) -> float:
    own = results.truth_classes == number
    boxes, images = results.truth_boxes[own], results.truth_images[own]
    difficult, detected = results.is_difficult[own], np.zeros(own.sum(), bool)
    num_truths = np.count_nonzero(~difficult)
    right, wrong = [], []
    for index in np.flatnonzero(results.classes == number):
        here = np.flatnonzero(images == results.images[index])
        ious = iou_matrix(results.boxes[[index]], boxes[here])[0]
        best = here[ious.argmax()] if len(here) else -1
        is_on = len(here) > 0 and ious.max() >= 0.5
        is_on_difficult = is_on and difficult[best]
        is_right = is_on and not is_on_difficult and not detected[best]
        right.append(is_right)
        wrong.append(not is_right and not is_on_difficult)
        if is_right:
            detected[best] = True
    if num_truths == 0:
        return math.nan
    tp, fp = np.cumsum(right), np.cumsum(wrong)
    recall = np.concatenate([[0], tp / num_truths, [1]])
    precision = np.concatenate([[0], tp / np.maximum(tp + fp, 1), [0]])
    for index in range(len(precision) - 2, -1, -1):
        precision[index] = max(precision[index], precision[index + 1])
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())
