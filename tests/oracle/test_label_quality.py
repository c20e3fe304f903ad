import math
from typing import Any

import pandas as pd
import pytest

from boxloop.data.dataset import XYXY
from boxloop.oracle.label_quality import KINDS, label_quality, worst

HERE, LEFT = (0, 0, 10, 10), (0, 0, 5, 10)  # IoU 0.5, centres 2.5 pixels apart
HALF = 0.9 * 0.5 + 0.1 * math.exp(-0.25)  # how similar those two are
FAR = (500, 500, 510, 510)  # 500 times the root of 2 away from the first


def table(*rows: Any) -> pd.DataFrame:
    """Return rows of image, class, box and, of detections, score."""
    flat = [(image, name, *box, *rest) for image, name, box, *rest in rows]
    columns = ["image_id", "class_name", *XYXY, "score"]
    return pd.DataFrame(flat, columns=columns[: len(flat[0])] if flat else columns)


def score(boxes: pd.DataFrame, *detections: Any) -> dict[str, float]:
    found = label_quality(boxes, table(*detections)).iloc[0]
    return {kind: float(found[kind]) for kind in KINDS}


ONE = table(("a", "pip", HERE))


def test_a_box_that_the_detector_finds_again_is_fine() -> None:
    assert score(ONE, ("a", "pip", HERE, 0.99)) == {
        "badly_located": 1.0,
        "swapped": 1.0,
        "overlooked": 1.0,
    }


def test_a_box_is_badly_located_by_the_closest_detection_of_its_class() -> None:
    found = score(ONE, ("a", "pip", LEFT, 0.5), ("a", "pip", FAR, 0.9))
    assert found["badly_located"] == pytest.approx(HALF)
    assert score(ONE, ("a", "pip", LEFT, 0.49))["badly_located"] == 1.0  # unsure: not looked at
    assert score(ONE, ("a", "tock", LEFT, 0.9))["badly_located"] == 1.0
    assert score(ONE, ("b", "pip", LEFT, 0.9))["badly_located"] == 1.0  # another image


def test_a_box_is_swapped_where_another_class_is_sure_to_be() -> None:
    far = ("a", "pip", FAR, 0.6)
    assert score(ONE, far, ("a", "tock", LEFT, 0.95))["swapped"] == pytest.approx(1 - HALF)
    assert score(ONE, ("a", "tock", LEFT, 0.94))["swapped"] == 1.0
    # on the very spot: not nothing, but the least similarity that occurs
    found = score(ONE, ("a", "tock", HERE, 0.95), ("a", "pip", LEFT, 0.6))
    assert found["swapped"] == pytest.approx(HALF)


def test_an_object_is_overlooked_where_no_box_of_its_class_is() -> None:
    found = score(ONE, ("a", "tock", LEFT, 0.96))
    assert found["overlooked"] == pytest.approx(HALF * 0.04)
    assert score(ONE, ("a", "pip", LEFT, 0.96))["overlooked"] == pytest.approx(HALF)
    assert score(ONE, ("a", "tock", LEFT, 0.9))["overlooked"] == 1.0


def test_several_overlooked_objects_count_by_their_soft_minimum() -> None:
    found = score(ONE, ("a", "pip", HERE, 0.96), ("a", "pip", LEFT, 0.96))
    low, high = math.exp(-HALF / 0.1), math.exp(-1 / 0.1)
    assert found["overlooked"] == pytest.approx((HALF * low + 1 * high) / (low + high))


def test_boxes_keep_their_order_and_nothing_found_is_no_suspicion() -> None:
    boxes = table(("b", "pip", HERE), ("a", "tock", HERE), ("b", "pip", FAR))
    found = label_quality(boxes, table())
    assert list(found["image_id"]) == ["b", "a", "b"]
    assert (found[list(KINDS)] == 1.0).all(axis=None)
    assert label_quality(boxes.iloc[:0], table(("a", "pip", HERE, 0.9))).empty


def test_the_kinds_take_turns_the_worst_first_one_an_image() -> None:
    boxes = table(*((image, "pip", HERE) for image in "aabcd"))
    scores = label_quality(boxes, table()).assign(badly_located=[0.5, 0.3, 0.4, 0.9, 1.0])
    scores.loc[3, "swapped"] = 0.7
    found = worst(scores, 12, below=0.8)
    assert list(found["image_id"]) == ["a", "c", "b"]
    assert list(found["kind"]) == ["badly_located", "swapped", "badly_located"]
    assert list(found["quality"]) == [0.3, 0.7, 0.4]
    assert list(worst(scores, 1, below=0.8)["image_id"]) == ["a"]
    assert worst(scores.iloc[:0], 12, below=0.8).empty
