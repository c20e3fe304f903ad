import numpy as np
import pytest

from boxloop.data.boxes import iou_matrix


def test_iou_is_overlap_over_union() -> None:
    iou = iou_matrix(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 5, 15, 15], [10, 0, 20, 10]]))
    # 25 / (100 + 100 - 25); the second box only shares an edge
    assert iou == pytest.approx(np.array([[25 / 175, 0]]))


@pytest.mark.parametrize(
    ("detected", "truth", "iou"),
    [
        pytest.param([0, 0, 4, 4], [0, 0, 4, 4], 1, id="same box"),
        pytest.param([0, 0, 4, 4], [1, 1, 3, 3], 4 / 16, id="one inside the other"),
        pytest.param([0, 0, 1, 1], [5, 5, 6, 6], 0, id="apart on both axes"),
        pytest.param([2, 2, 2, 2], [2, 2, 2, 2], 0, id="boxes without area"),
    ],
)
def test_iou_of_one_pair(detected: list[int], truth: list[int], iou: float) -> None:
    # integers are accepted as well
    assert iou_matrix(np.array([detected]), np.array([truth])) == pytest.approx(iou)


def test_no_boxes_give_an_empty_matrix() -> None:
    assert iou_matrix(np.empty((0, 4)), np.empty((3, 4))).shape == (0, 3)


def test_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"truth_xyxy must have shape \(_, 4\), got \(4,\)"):
        iou_matrix(np.empty((0, 4)), np.empty(4))
