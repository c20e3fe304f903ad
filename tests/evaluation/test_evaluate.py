import json
import subprocess
import sys
from typing import Any

import pandas as pd
import pytest
from tests.evaluation.tables import FAR, NAMES, A, B, found, images, random_tables, true

from boxloop.evaluation import best_threshold, evaluate_detections

FIGURES = {
    "images", "boxes", "map50", "map50_interval", "map", "map75", "map50_coco", "map_small",
    "map_medium", "map_large", "ap50_per_class", "ap50_intervals", "pascal", "operating",
    "confusion", "errors", "hand_check",
}  # fmt: skip


def evaluate(
    detections: pd.DataFrame, truth: pd.DataFrame, table: pd.DataFrame, names: list[str] = NAMES
) -> tuple[dict[str, Any], pd.DataFrame]:
    return evaluate_detections(detections, truth, table, names, threshold=0.5, seed=1)


def test_what_is_perfect_has_1_everywhere() -> None:
    truth = true(*((i, "cat", A) for i in "acdef"), ("b", "dog", B))
    rows = found(*((i, "cat", 0.9, A) for i in "acdef"), ("b", "dog", 0.8, B))
    labels = dict.fromkeys("acdef", "cat")
    figures, table = evaluate(rows, truth, images(b="dog", g=None, **labels))
    assert set(figures) == FIGURES
    assert (figures["images"], figures["boxes"]) == (7, 6)
    assert (figures["map50"], figures["map50_interval"]) == (1, [1, 1])
    assert figures["ap50_intervals"] == {"cat": [1, 1], "dog": None}  # one image shows no more
    assert (figures["map"], figures["map_small"]) == pytest.approx((1, 1))
    assert figures["map_large"] is None
    assert figures["pascal"]["PascalBoxes_Precision/mAP@0.5IOU"] == 1
    assert figures["operating"]["f1"] == 1
    assert figures["confusion"]["cells"] == [[0, 0, 5], [1, 1, 1]]
    assert {k: v["count"] for k, v in figures["errors"].items() if v["count"]} == {}
    assert figures["hand_check"]["rows"]["cat"] == {"right": 5, "wrong": 0, "nothing": 0}
    assert table["image_id"].tolist() == list("abcdefg")
    assert table["is_right"].all()


@pytest.mark.parametrize(
    ("detections", "truth"),
    [
        pytest.param(found(), true(), id="nothing"),
        pytest.param(found(), true(("a", "cat", A)), id="no detections"),
        pytest.param(found(("a", "cat", 0.9, A)), true(), id="no truth"),
        pytest.param(
            found(("a", "cat", 0.9, A)), true(("a", "cat", A), difficult=[0]), id="all difficult"
        ),
    ],
)
@pytest.mark.parametrize("names", [["cat"], NAMES], ids=["one class", "two"])
def test_where_there_is_little_figures_are_none_or_0(
    detections: pd.DataFrame, truth: pd.DataFrame, names: list[str]
) -> None:
    figures, table = evaluate(detections, truth, images(a="cat"), names)
    json.dumps(figures, allow_nan=False)
    assert set(figures) == FIGURES
    assert figures["map50"] == figures["map50_coco"] == (0 if figures["boxes"] else None)
    assert figures["map50_interval"] is None  # of one image
    assert figures["ap50_per_class"].get("dog") is None
    assert len(table) == 1


def test_no_images_at_all() -> None:
    figures, table = evaluate(found(), true(), images())
    json.dumps(figures, allow_nan=False)
    assert (figures["images"], len(table)) == (0, 0)


def test_the_order_of_rows_plays_no_part() -> None:
    detections, truth, table, names = random_tables(3)
    first = evaluate(detections, truth, table, names)
    d, t, i = (each.sample(frac=1, random_state=4) for each in (detections, truth, table))
    again = evaluate(d, t, i, names)
    assert json.dumps(first[0]) == json.dumps(again[0])
    pd.testing.assert_frame_equal(first[1], again[1])


def test_true_boxes_of_an_old_version_are_not_difficult() -> None:
    truth = true(("a", "cat", A))
    rows = found(("a", "cat", 0.9, FAR))
    old = truth.drop(columns="difficult")
    assert evaluate(rows, old, images(a="cat"))[0] == evaluate(rows, truth, images(a="cat"))[0]


@pytest.mark.parametrize(
    ("detections", "truth", "table", "message"),
    [
        pytest.param(
            found(("a", "bird", 0.9, A), ("a", "cow", 0.9, A)),
            true(),
            images(a="cat"),
            "detections: class_name 'bird', 'cow' is not among the 2 evaluated",
            id="class of a detection",
        ),
        pytest.param(
            found(),
            true(("a", "bird", A)),
            images(a="cat"),
            "truth: class_name 'bird' is not among the 2 evaluated",
            id="class of a true box",
        ),
        pytest.param(
            found(("b", "cat", 0.9, A)),
            true(),
            images(a="cat"),
            "detections: image_id 'b' is not among the 1 evaluated",
            id="image",
        ),
        pytest.param(
            found(),
            true(),
            pd.concat([images(a="cat")] * 2),
            "an image_id is there twice",
            id="image twice",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    detections: pd.DataFrame, truth: pd.DataFrame, table: pd.DataFrame, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(detections, truth, table)


def test_a_threshold_of_unknown_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="'bird' is not among"):
        best_threshold(found(("a", "bird", 0.9, A)), true(), NAMES)


def test_tensorflow_is_not_imported() -> None:
    code = "import sys, boxloop.evaluation; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
