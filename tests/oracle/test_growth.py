import math
from typing import Any

import pandas as pd
import pytest

from boxloop.data.dataset import BOX_COLUMNS, XYXY, build_table
from boxloop.oracle.growth import agreement, class_mix, growth_rows, verdicts

HERE, NEAR, AWAY = (0, 0, 10, 10), (0, 0, 10, 8), (50, 50, 60, 60)  # NEAR is HERE by an IoU of 0.8
Box = tuple[str, str, tuple[int, int, int, int], str]


def boxes(*rows: Box) -> pd.DataFrame:
    keys = ("image_id", "class_name", "box", "origin")
    named: list[dict[str, Any]] = [dict(zip(keys, row, strict=True)) for row in rows]
    return build_table(
        [{**row, **dict(zip(XYXY, row["box"], strict=True)), "round": 0} for row in named],
        {**BOX_COLUMNS},
    )


def said(*rows: tuple[str, str | None, tuple[int, ...] | None, str]) -> pd.DataFrame:
    """Return adoptions: image, class, box, verdict."""
    return pd.DataFrame(
        [(image, name, *(box or [None] * 4), verdict) for image, name, box, verdict in rows],
        columns=["image_id", "class_name", *XYXY, "verdict"],
    )


BEFORE = boxes(
    ("t", "pip", HERE, "human"),
    ("p0", "pip", HERE, "adopted"),
    ("p1", "tock", HERE, "adopted"),
    ("p2", "pip", HERE, "adopted"),
)
AFTER = boxes(
    ("t", "pip", HERE, "human"),
    ("p0", "pip", NEAR, "adopted"),
    ("p2", "tock", HERE, "reviewed"),  # a person said it is another
    ("p3", "tock", HERE, "adopted"),
    ("p3", "tock", AWAY, "doubtful"),
    ("p4", "tock", AWAY, "adopted"),
    ("p5", "tock", HERE, "adopted"),  # of which nobody knows the truth
)
SAID = said(
    ("p0", "pip", NEAR, "moved"),
    ("p1", "tock", HERE, "withdrawn"),
    ("p1", None, None, "rejected"),
    ("p3", "tock", HERE, "adopted"),
    ("p4", "tock", AWAY, "adopted"),
    ("p5", "tock", HERE, "adopted"),
)
TRUTH = boxes(
    *((f"p{n}", "pip" if n < 1 else "tock", HERE, "human") for n in range(5)),
)


def rows(truth: pd.DataFrame | None = TRUTH) -> dict[str, dict[str, Any]]:
    names = ["pip", "tock", "wisp"]
    found = growth_rows(BEFORE, AFTER, SAID, truth, names)
    assert [row["class_name"] for row in found] == names
    return {row["class_name"]: row for row in found}


def test_boxes_are_counted_by_class_and_origin_and_doubtful_ones_are_not() -> None:
    assert rows()["pip"] | {"precision": 0, "recall": 0, "mean_iou": 0} == {
        **{"class_name": "pip", "human": 1, "adopted": 1, "reviewed": 0, "total": 2},
        **{"added": 0, "withdrawn": 1, "precision": 0, "recall": 0, "mean_iou": 0},
    }
    counts = [rows()["tock"][name] for name in ("human", "adopted", "reviewed", "total")]
    assert counts == [0, 3, 1, 4]


def test_what_was_there_plus_what_came_less_what_went_is_what_is_there() -> None:
    for name, row in rows().items():
        before = (BEFORE["class_name"] == name).sum()
        assert before + row["added"] - row["withdrawn"] == row["total"]
    assert (rows()["tock"]["added"], rows()["tock"]["withdrawn"]) == (4, 1)


def test_a_box_that_makes_way_for_another_in_its_image_counts_as_both() -> None:
    one = boxes(("p0", "pip", HERE, "adopted"))
    verdict = said(("p0", "pip", AWAY, "adopted"), ("p0", "pip", HERE, "withdrawn"))
    row = growth_rows(one, boxes(("p0", "pip", AWAY, "adopted")), verdict, None, ["pip"])[0]
    assert (row["added"], row["withdrawn"], row["total"]) == (1, 1, 1)


def test_adopted_boxes_are_measured_where_the_truth_is_known() -> None:
    pip, tock = rows()["pip"], rows()["tock"]
    assert (pip["precision"], pip["recall"]) == (1.0, 1.0)
    assert pip["mean_iou"] == pytest.approx(0.8)
    # right in p3, wrong in p4, not known in p5; a reviewed box is nobody's adoption
    assert (tock["precision"], tock["recall"], tock["mean_iou"]) == (0.5, 0.25, 1.0)


@pytest.mark.parametrize("truth", [None, TRUTH.iloc[:0]])
def test_without_truth_nothing_is_measured(truth: pd.DataFrame | None) -> None:
    for row in rows(truth).values():
        assert [row[name] for name in ("precision", "recall", "mean_iou")] == [None] * 3


def test_a_class_without_boxes_has_a_row_of_nothing() -> None:
    row = rows()["wisp"]
    assert row.pop("class_name") == "wisp"
    assert set(row.values()) == {0, None}


def test_a_first_round_that_adopts_nothing_is_fine() -> None:
    nothing = boxes()
    found = growth_rows(nothing, nothing, said(), TRUTH, ["pip"])[0]
    assert (found["total"], found["precision"], found["recall"]) == (0, None, 0.0)


def test_the_mix_of_classes_is_even_or_not() -> None:
    assert class_mix({"a": 5, "b": 5, "c": 5}) == pytest.approx({"entropy": 1.0, "gini": 0.0})
    assert class_mix({"a": 9, "b": 0, "c": 0}) == pytest.approx({"entropy": 0.0, "gini": 2 / 3})
    # shares 1/4 and 3/4; |1 - 3| is half of the differences of 4 pairs, over 2 x 4 x 2
    entropy = (0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / math.log(2)
    assert class_mix({"a": 3, "b": 1}) == pytest.approx({"entropy": entropy, "gini": 0.25})
    assert class_mix({"a": 3}) == {"entropy": 1.0, "gini": 0.0}
    assert class_mix({"a": 0, "b": 0}) == {"entropy": None, "gini": None}


def test_rounds_agree_where_they_found_the_same() -> None:
    first = said(
        ("a", "pip", HERE, "adopted"),
        ("b", "pip", HERE, "adopted"),
        ("c", "pip", HERE, "rejected"),
        ("d", None, None, "rejected"),
        ("e", None, None, "rejected"),
        ("gone", "pip", HERE, "rejected"),
    )
    second = said(
        ("a", "pip", NEAR, "moved"),  # the same
        ("a", "pip", AWAY, "adopted"),  # not the best of its image
        ("b", "pip", HERE, "withdrawn"),  # the old box, and no detection
        ("b", "tock", HERE, "rejected"),  # another class
        ("c", "pip", AWAY, "rejected"),  # another place
        ("d", None, None, "rejected"),  # the same
        ("e", "pip", HERE, "adopted"),  # found now
        ("new", "pip", HERE, "adopted"),
    )
    assert agreement(second, first) == 0.4
    assert agreement(first, first) == 1.0
    assert agreement(first, None) is None
    assert agreement(said(("x", "pip", HERE, "adopted")), first) is None


def test_a_table_older_than_verdicts_adopted_or_rejected() -> None:
    assert list(verdicts(pd.DataFrame({"is_adopted": [True, False]}))) == ["adopted", "rejected"]
