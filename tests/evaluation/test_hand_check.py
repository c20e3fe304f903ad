import hashlib
from typing import Any

import pandas as pd
import pytest
from tests.evaluation.tables import FAR, NAMES, A, B, found, images, true

from boxloop.evaluation.hand_check import half_width, hand_check
from boxloop.evaluation.results import build_results


def check(detections: pd.DataFrame, truth: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    table = table.sort_values("image_id").reset_index(drop=True)
    results = build_results(detections, truth, table["image_id"].tolist(), NAMES)
    return hand_check(results, table, 0.5, NAMES)


def test_an_image_is_judged_by_its_best_detection() -> None:
    table = images(a="cat", b="cat", c="cat", d="cat")
    detections = found(
        ("a", "cat", 0.9, A),
        ("a", "dog", 0.8, B),
        ("b", "cat", 0.8, A),
        ("b", "dog", 0.9, FAR),
        ("c", "cat", 0.4, A),  # below the threshold
    )
    checked = check(detections, true(), table)
    assert checked["rows"] == {
        "cat": {"right": 1, "wrong": 1, "nothing": 2},
        "dog": {"right": 0, "wrong": 0, "nothing": 0},
    }
    by_id = {row["image_id"]: row for row in checked["images"]}
    assert by_id["b"] == {
        "image_id": "b",
        "class_name": "cat",
        "verdict": "wrong",
        "score": 0.9,
    }
    assert by_id["d"]["verdict"] == "nothing"


def test_without_a_label_the_largest_true_box_says_the_class() -> None:
    larger = (0.0, 0.0, 20.0, 20.0)
    truth = true(("a", "cat", A), ("a", "dog", larger), ("b", "cat", A), ("c", "cat", A))
    table = images(a=None, b="dog", c="unknown", d=None)
    checked = check(found(), truth, table)
    rows = [(row["image_id"], row["class_name"]) for row in checked["images"]]
    assert sorted(rows) == [("a", "dog"), ("b", "dog")]


def test_twenty_images_of_a_class_are_chosen_by_the_hash_of_their_ids() -> None:
    names = [f"image_{number}" for number in range(50)]
    few = check(found(), true(), images(**dict.fromkeys(names, "cat")))
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    chosen = [row["image_id"] for row in few["images"]]
    assert chosen == order[:20]
    # the same of them in any order, and whatever else there is
    more = check(found(), true(), images(other="dog", **dict.fromkeys(names, "cat")))
    assert [row["image_id"] for row in more["images"]][:20] == chosen


def test_half_width_is_wilsons() -> None:
    # 10 of 20: 0.2993 to 0.7007, as any table of Wilson's interval has it
    assert half_width(0.5, 20) == pytest.approx(0.2007, abs=1e-4)
    assert half_width(0, 10) == pytest.approx(0.2775 / 2, abs=1e-4)
