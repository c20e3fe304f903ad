"""Hand-worked cases of TIDE's kinds of error; costs in VOC's average precision."""

import math
from typing import Any

import pandas as pd
import pytest
from tests.evaluation.tables import FAR, LESS, LITTLE, A, B, case, found, true

from boxloop.evaluation.error_kinds import error_kinds

CAT = ("a", "cat", A)


def kinds(detections: pd.DataFrame, truth: pd.DataFrame) -> dict[str, tuple[int, Any]]:
    """Return count and cost of the kinds that there are."""
    found_kinds = error_kinds(*case(detections, truth))
    assert list(found_kinds) == [
        "classification",
        "localisation",
        "both",
        "duplicate",
        "background",
        "missed",
    ]
    return {k: (int(v["count"]), v["cost"]) for k, v in found_kinds.items() if v["count"]}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        pytest.param(("a", "cat", 0.9, LESS), {"localisation": (1, 1.0)}, id="badly placed"),
        pytest.param(("a", "cat", 0.9, LITTLE), {"localisation": (1, 1.0)}, id="barely on it"),
        pytest.param(("a", "dog", 0.9, A), {"classification": (1, 1.0)}, id="other class"),
        # the class mended alone leaves it misplaced: out with it, and the cat stays missed
        pytest.param(
            ("a", "dog", 0.9, LESS), {"both": (1, 0.0), "missed": (1, 1.0)}, id="both at once"
        ),
        # a class with nothing to find and a wrong detection stays at 0
        pytest.param(
            ("a", "cat", 0.9, FAR), {"background": (1, 0.0), "missed": (1, 0.0)}, id="nothing there"
        ),
    ],
)
def test_one_detection_one_fault(
    wrong: tuple[str, str, float, tuple[float, float, float, float]],
    expected: dict[str, tuple[int, float]],
) -> None:
    assert kinds(found(wrong), true(CAT)) == expected


def test_a_second_detection_of_a_box_is_a_duplicate() -> None:
    truth = true(CAT, ("b", "cat", A))
    rows = [("a", "cat", 0.9, A), ("a", "cat", 0.8, A), ("b", "cat", 0.7, A)]
    # precision 1, 1/2, 2/3: AP is (1 + 2/3) / 2, and 1 without the duplicate
    assert kinds(found(*rows), truth) == {"duplicate": (1, pytest.approx(1 / 6))}


def test_what_is_on_nothing_costs_the_precision_of_all_below_it() -> None:
    rows = [("a", "cat", 0.9, FAR), ("a", "cat", 0.8, A)]
    assert kinds(found(*rows), true(CAT)) == {"background": (1, pytest.approx(1 / 2))}


def test_a_missed_box_costs_its_share_of_recall() -> None:
    truth = true(CAT, ("a", "cat", B))
    assert kinds(found(("a", "cat", 0.9, A)), truth) == {"missed": (1, pytest.approx(1 / 2))}


def test_a_class_that_is_missed_altogether_would_be_perfect() -> None:
    truth = true(CAT, ("a", "dog", B))
    assert kinds(found(("a", "cat", 0.9, A)), truth) == {"missed": (1, pytest.approx(1 / 2))}


def test_only_the_best_of_several_takes_a_box_once_mended() -> None:
    rows = [("a", "cat", 0.8, LESS), ("a", "cat", 0.9, LESS), ("a", "dog", 0.7, A)]
    truth = true(CAT, ("b", "dog", A))
    # of cats one is right once mended, the other goes: AP of cats 1; the dog that is a cat comes
    # too late to be one, and goes; b's dog is missed, and where it was the only one, a wrong dog
    # stays
    assert kinds(found(*rows), truth) == {
        "localisation": (2, pytest.approx(1 / 2)),
        "classification": (1, 0.0),
        "missed": (1, 0.0),
    }


def test_a_mended_class_moves_the_detection_to_that_class() -> None:
    truth = true(CAT, ("a", "dog", B), ("b", "dog", B))
    rows = [("a", "dog", 0.9, A), ("a", "dog", 0.8, B), ("b", "dog", 0.7, B)]
    # dogs: precision 0, 1/2, 2/3, AP 2/3; mended, cats and dogs have 1
    assert kinds(found(*rows), truth) == {"classification": (1, pytest.approx(1 - 1 / 3))}


def test_a_box_that_is_found_is_not_found_again_by_mending() -> None:
    rows = [("a", "cat", 0.9, A), ("a", "dog", 0.8, A), ("a", "cat", 0.7, LESS)]
    truth = true(CAT, ("b", "dog", B))
    assert kinds(found(*rows), truth) == {
        "classification": (1, 0.0),
        "localisation": (1, 0.0),
        "missed": (1, 0.0),
    }


def test_difficult_boxes_explain_no_error_and_are_not_missed() -> None:
    truth = true(CAT, ("a", "cat", B), ("a", "dog", FAR), difficult=[1, 2])
    rows = [("a", "cat", 0.9, A), ("a", "cat", 0.8, B), ("a", "cat", 0.7, FAR)]
    assert kinds(found(*rows), truth) == {"background": (1, 0.0)}


def test_without_true_boxes_costs_are_nan() -> None:
    errors = error_kinds(*case(found(("a", "cat", 0.9, A)), true()))
    assert errors["background"]["count"] == 1
    assert all(math.isnan(kind["cost"]) for kind in errors.values())


def test_without_detections_all_is_missed() -> None:
    assert kinds(found(), true(CAT, ("b", "dog", B))) == {"missed": (2, 1.0)}
