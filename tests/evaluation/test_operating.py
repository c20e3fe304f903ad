import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.tables import FAR, NAMES, A, B, case, found, random_tables, true

from boxloop.evaluation.operating import best_threshold, confusion, image_table, operating_point

TRUTH = true(("a", "cat", A), ("a", "dog", B), ("b", "cat", A))
DETECTIONS = found(
    ("a", "cat", 0.9, A),  # right
    ("a", "cat", 0.8, A),  # again
    ("a", "cat", 0.7, B),  # a dog
    ("b", "dog", 0.6, FAR),  # nothing there
    ("b", "cat", 0.5, A),  # right
)


def test_shares_count_what_is_at_or_above_the_threshold() -> None:
    results, _, matches = case(DETECTIONS, TRUTH)
    point = operating_point(results, matches, 0.6, NAMES)
    assert (point["precision"], point["recall"]) == (1 / 4, 1 / 3)
    assert point["f1"] == pytest.approx(2 / 7)  # 2 of 4 found and 3 true
    cat, dog = point["per_class"]["cat"], point["per_class"]["dog"]
    assert (cat["right"], cat["wrong"], cat["missed"]) == (1, 2, 1)
    assert (dog["precision"], dog["recall"], dog["f1"]) == (0, 0, 0)


def test_a_share_of_nothing_is_nan() -> None:
    results, _, matches = case(found(), true(("a", "cat", A)))
    point = operating_point(results, matches, 0.5, NAMES)
    assert math.isnan(point["precision"])
    assert (point["recall"], point["f1"]) == (0, 0)
    assert all(math.isnan(point["per_class"]["dog"][n]) for n in ("precision", "recall", "f1"))


def test_confusion() -> None:
    results, pairs, matches = case(DETECTIONS, TRUTH)
    assert confusion(results, pairs, matches, 0.6, NAMES) == {
        "names": ["cat", "dog", "background"],
        "cells": [
            [0, 0, 1],
            [0, 2, 1],  # b's cat is below the threshold
            [1, 0, 1],  # the dog was taken for a cat
            [2, 0, 1],  # a's cat again
            [2, 1, 1],  # a dog where nothing is
        ],
    }


def test_the_confusion_of_many_classes_takes_little_room() -> None:
    names = ["cat", "dog", *(f"class {number}" for number in range(1_200))]
    results, pairs, matches = case(DETECTIONS, TRUTH, names)
    cells = confusion(results, pairs, matches, 0.6, names)["cells"]
    assert cells == [[0, 0, 1], [0, 1202, 1], [1, 0, 1], [1202, 0, 1], [1202, 1, 1]]


def test_nothing_has_no_confusion() -> None:
    results, pairs, matches = case(found(), true())
    assert confusion(results, pairs, matches, 0.5, NAMES)["cells"] == []


def test_confusion_gives_a_true_box_to_the_best_and_leaves_difficult_ones_out() -> None:
    truth = true(("a", "dog", A), ("a", "dog", B), difficult=[1])
    rows = [("a", "cat", 0.8, A), ("a", "cat", 0.9, A), ("a", "dog", 0.7, B), ("a", "cat", 0.6, B)]
    results, pairs, matches = case(found(*rows), truth)
    cells = confusion(results, pairs, matches, 0.5, NAMES)["cells"]
    # the dog on the difficult box is ignored, the cat there is one in the background
    assert cells == [[1, 0, 1], [2, 0, 2]]


@given(st.integers(0, 100), st.floats(0, 1))
def test_confusion_adds_up(seed: int, threshold: float) -> None:
    detections, truth, _, names = random_tables(seed, num_images=8)
    results, pairs, matches = case(detections, truth, names)
    counts = np.zeros((len(names) + 1, len(names) + 1), int)
    for row, column, number in confusion(results, pairs, matches, threshold, names)["cells"]:
        counts[row, column] = number
    point = operating_point(results, matches, threshold, names)["per_class"]
    assert counts[:-1].sum(axis=1).tolist() == results.num_truths.tolist()
    for number, name in enumerate(names):
        assert counts[number, number] == point[name]["right"]
        assert counts[:, number].sum() == point[name]["right"] + point[name]["wrong"]


def test_the_best_threshold_is_the_score_with_the_highest_f1() -> None:
    # F1 from 0.9 down: 2/4, 2/5, 2/6, 2/7, 4/8; of equal ones the highest
    assert best_threshold(DETECTIONS, TRUTH, NAMES) == 0.9
    assert best_threshold(DETECTIONS, TRUTH[TRUTH["image_id"] == "b"], NAMES) == 0.5


def test_equal_scores_are_used_together() -> None:
    rows = [("a", "cat", 0.5, box) for box in (A, B, FAR, (100, 0, 110, 10))]
    truth = true(("a", "cat", A), ("a", "cat", FAR), ("b", "cat", A))
    # A alone would give 2/4, but comes with B: 4/7; with b's cat at 0.4 it is 6/8
    assert best_threshold(found(*rows, ("b", "cat", 0.4, A)), truth, NAMES) == 0.4
    assert best_threshold(found(*rows), truth, NAMES) == 0.5


@pytest.mark.parametrize(
    ("detections", "truth"),
    [
        pytest.param(found(), true(), id="nothing"),
        pytest.param(found(), TRUTH, id="no detection"),
        pytest.param(DETECTIONS, true(), id="no true box"),
        pytest.param(found(("a", "cat", 0.9, FAR)), TRUTH, id="nothing right"),
        pytest.param(found(("a", "cat", 0.9, A)), true(("a", "cat", A), difficult=[0]), id="hard"),
    ],
)
def test_without_anything_to_learn_from_there_is_no_threshold(
    detections: pd.DataFrame, truth: pd.DataFrame
) -> None:
    assert best_threshold(detections, truth, NAMES) is None


def test_every_image_has_its_row() -> None:
    truth = true(("a", "cat", A), ("a", "dog", B), ("b", "cat", A), difficult=[1])
    results, _, matches = case(DETECTIONS, truth)
    table = image_table(results, matches, 0.85, ["a", "b"])
    assert list(table.columns) == ["image_id", "truths", "found", "wrong", "is_right"]
    assert table.values.tolist() == [["a", 1, 1, 0, True], ["b", 1, 0, 0, False]]
