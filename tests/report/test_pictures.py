import pandas as pd
import pytest
from tests.report.evaluations import evaluation

from boxloop.data.dataset import DETECTION_COLUMNS, Dataset, build_table
from boxloop.report.pictures import Outline, Outlines, hand_checked, turned


def _table(right: dict[str, bool]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": list(right), "is_right": list(right.values())})


def test_images_are_won_or_lost_if_they_changed_sides() -> None:
    before = _table({"a": True, "b": True, "c": False, "d": False, "gone": True})
    after = _table({"d": False, "c": True, "b": False, "a": True, "new": False})
    assert turned(before, after) == (["c"], ["b"])


@pytest.mark.parametrize("sides", [(None, {"a": True}), ({"a": True}, None)])
def test_without_one_of_the_rounds_nothing_is_won_or_lost(
    sides: tuple[dict[str, bool] | None, dict[str, bool] | None],
) -> None:
    before, after = (None if right is None else _table(right) for right in sides)
    assert turned(before, after) == ([], [])


def test_the_hand_check_shows_every_class_and_verdict_before_any_twice() -> None:
    images = [
        {"image_id": f"{name}{verdict}{i}", "class_name": name, "verdict": verdict, "score": 0.9}
        for name in ("b", "a")
        for verdict in ("nothing", "right", "wrong")
        for i in range(20)
    ]
    chosen = hand_checked(images, 6)
    order = ["right", "wrong", "nothing"]
    assert list(zip(chosen["class_name"], chosen["verdict"], strict=True)) == [
        (name, verdict) for name in ("a", "b") for verdict in order
    ]
    pd.testing.assert_frame_equal(hand_checked(images[::-1], 6), chosen)


def test_a_hand_check_without_images_shows_none() -> None:
    assert hand_checked([], 6).empty


def test_true_boxes_come_first_and_faint_detections_not_at_all() -> None:
    box = {"xmin": 1.0, "ymin": 2.0, "xmax": 4.0, "ymax": 8.0}
    images = pd.DataFrame({"image_id": ["a", "b"], "split": ["test", "train"]})
    boxes = pd.DataFrame([{"image_id": i, "class_name": "pip", **box} for i in ("a", "b")])
    rows = [
        {"image_id": "a", "class_name": "tock", "score": score, **box} for score in (0.5, 0.499)
    ]
    outlines = Outlines.of(
        evaluation(1), build_table(rows, DETECTION_COLUMNS), Dataset(images, boxes)
    )
    assert outlines is not None
    edges = (1.0, 2.0, 4.0, 8.0)
    assert outlines.draw("a") == [Outline(edges, "pip", None), Outline(edges, "tock", 0.5)]
    assert [outline.label for outline in outlines.draw("a")] == ["", "tock 0.50"]
    assert outlines.draw("a")[0].place == (1.0, 2.0, 3.0, 6.0)
    assert outlines.draw("b") == []  # not of the test split
