import math

import numpy as np
import pandas as pd
import pytest
from tests.oracle.pools import detections, place, pool, rules

from boxloop.data.dataset import BOX_COLUMNS, build_table
from boxloop.oracle.calibration import OUT_OF_REACH, Calibration, calibrate
from boxloop.oracle.gates import find_labelled


def scored(name: str, right: int, wrong: int, *, lead: float, is_best: bool = True) -> pd.DataFrame:
    """Detections of a class at about a lead, so many right and so many wrong."""
    is_right = [True] * right + [False] * wrong
    found = pd.DataFrame({"class_name": name, "lead": lead, "is_right": is_right})
    return found.assign(is_best=is_best)


def made(*parts: pd.DataFrame, target: float = 0.9) -> Calibration:
    return calibrate(pd.concat(parts), ["ace", "king"], target=target)


def test_a_threshold_is_the_smallest_lead_that_keeps_the_target() -> None:
    high, low = scored("ace", 200, 0, lead=0.8), scored("ace", 50, 50, lead=0.6)
    ace = made(high, low).bars[0]
    assert (ace.threshold, ace.boxes, ace.is_reached) == (0.8, 200, True)
    assert ace.precision == pytest.approx(1, abs=0.01)
    assert ace.interval[0] < ace.precision <= ace.interval[1] <= 1
    lower = made(high, low, target=0.8).bars[0]  # 250 of 300
    assert (lower.threshold, lower.boxes) == (0, 300)


def test_a_lead_that_holds_the_target_only_just_is_not_taken_at_its_word() -> None:
    high, low = scored("ace", 100, 0, lead=0.8), scored("ace", 82, 18, lead=0.6)
    lucky, sure = made(high, low), made(high, low, target=0.87)  # 182 of 200 are right
    assert (lucky.bars[0].threshold, sure.bars[0].threshold) == (0.8, 0)


def test_a_class_with_many_boxes_goes_by_its_own_and_one_with_few_by_all() -> None:
    others = scored("ace", 300, 0, lead=0.5)
    many = made(others, scored("king", 20, 80, lead=0.5))
    few = made(others, scored("king", 2, 0, lead=0.5))
    assert not many.bars[1].is_reached
    assert few.bars[1].is_reached
    absent = made(others).bars[1]
    assert (absent.threshold, absent.boxes, absent.is_reached) == (0, 0, True)


def test_where_the_target_is_out_of_reach_the_best_is_taken_and_said_so() -> None:
    bar = made(scored("ace", 3, 0, lead=0.9), scored("ace", 3, 6, lead=0.5), target=0.99).bars[0]
    assert (bar.threshold, bar.is_reached) == (0.9, False)
    assert bar.precision == pytest.approx((3 + 4 * 3.5 / 4) / 7)  # all count for four: 3 and 1


def test_where_the_boxes_speak_against_the_target_no_lead_is_enough() -> None:
    bars = made(scored("ace", 60, 40, lead=0.9), scored("king", 1, 0, lead=0.9), target=0.95).bars
    assert bars[0].interval[1] < 0.95
    assert (bars[0].threshold, bars[0].is_reached) == (OUT_OF_REACH, False)


def test_further_boxes_of_an_image_have_a_bar_of_their_own() -> None:
    best = scored("ace", 100, 0, lead=0.3)
    many = [scored("ace", 80, 0, lead=0.8, is_best=False)]
    many.append(scored("king", 0, 20, lead=0.5, is_best=False))
    assert made(best, *many).further_threshold == 0.8
    assert made(best, scored("king", 3, 2, lead=0.9, is_best=False)).further_threshold == math.inf
    assert made(best).further_threshold == math.inf
    assert made(best, *many).thresholds == {"ace": 0, "king": 0}


def test_no_validation_detections_at_all_reach_nothing() -> None:
    nothing = made(scored("ace", 0, 0, lead=0.5))
    assert [(bar.precision, bar.is_reached) for bar in nothing.bars] == [(0.5, False)] * 2
    assert [bar.threshold for bar in nothing.bars] == [0.5, 0.5]
    assert nothing.probability(np.array([0.9])) == pytest.approx(0.5, abs=0.5)


def test_the_probability_never_falls_and_follows_the_shares() -> None:
    parts = [scored("ace", 90, 10, lead=0.8), scored("king", 20, 80, lead=0.3)]
    calibration = made(*parts)
    assert calibration.probability(np.array([0.3, 0.8])) == pytest.approx([0.2, 0.9], abs=0.01)
    grid = calibration.probability(np.linspace(0, 1, 101))
    assert (np.diff(grid) >= 0).all()
    assert 0 <= grid.min() <= grid.max() <= 1


def test_validation_boxes_say_what_an_image_level_label_would() -> None:
    truth = build_table(
        [
            {"image_id": image, "class_name": name, "difficult": name == "queen", **place(x)}
            | {"round": 0}
            for image, name, x in [("v", "ace", 0), ("v", "king", 50), ("w", "queen", 0)]
        ],
        BOX_COLUMNS,
    )
    found = detections(
        ("v", "ace", 0.9, 1),  # right
        ("v", "ace", 0.8, 0),  # the same object again
        ("v", "king", 0.7, 20),  # beside it
        ("v", "queen", 0.6, 50),  # no class of this image, and no rival: too weak for that
        ("v", "king", 0.75, 50),  # right
        ("w", "queen", 0.5, 0),  # difficult
        ("w", "ace", 0.99, 70),  # no class of this image
    )
    names = ["ace", "king", "queen"]
    labelled = find_labelled(found, truth, pool(v=None, w=None), names, rules())
    assert labelled.to_numpy().tolist() == [
        ["ace", pytest.approx(0.1), True, True],
        ["ace", 0.8, False, False],
        ["king", pytest.approx(0.05), True, True],
        ["king", 0.7, False, False],
    ]
    rival = detections(("v", "ace", 0.7, 1), ("v", "king", 0.85, 1))
    assert find_labelled(rival, truth, pool(v="joker"), names, rules())["class_name"].tolist() == [
        "king"
    ]
    assert find_labelled(found[:0], truth, pool(), names, rules()).empty
    labels = find_labelled(found, truth, pool(v="king", w="queen"), names, rules())
    assert labels["class_name"].tolist() == ["king", "king"]
