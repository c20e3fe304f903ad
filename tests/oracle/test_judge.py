import math
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracle.pools import NAMES, dataset, detections, pool, reasons, rules, said, verdicts

from boxloop.data.dataset import Dataset
from boxloop.oracle import gates
from boxloop.oracle.adoptions import ADOPTION_COLUMNS, LEFT_TO_PEOPLE, reject
from boxloop.oracle.judge import NOT_AGAIN, NOT_FOUND

STUDY = rules(
    thresholds=dict.fromkeys(NAMES, 0), rival_lead=1.0, further_threshold=math.inf, is_again=False
)
ONE = pool(a="ace")


@pytest.mark.parametrize(
    ("found", "shown", "reason"),
    [
        pytest.param([("a", "ace", 0.5, 1)], ("adopted", "ace", 1), "0.50 ahead", id="just enough"),
        pytest.param(
            [("a", "king", 0.9, 50), ("a", "ace", 0.19, 2)],
            ("rejected", "ace", 2),
            gates.LOW_SCORE,
            id="right class, low score",
        ),
        pytest.param(
            [("a", "ace", 0.9, 2), ("a", "ace", 0.45, 40), ("a", "ace", 0.2, 70)],
            ("rejected", "ace", 2),
            gates.LITTLE_LEAD,
            id="another one close behind",
        ),
        pytest.param(
            [("a", "ace", 0.8, 2), ("a", "king", 0.75, 40), ("a", "ace", 0.2, 70)],
            ("adopted", "ace", 2),
            "0.60 ahead",
            id="another one far behind",
        ),
        pytest.param(
            [("a", "king", 0.7, 1), ("a", "queen", 0.9, 2)],
            ("rejected", "queen", 2),
            gates.OTHER_CLASS,
            id="other classes only",
        ),
        pytest.param(
            [("a", "ace", 0.8, 1), ("a", "king", 0.91, 2)],
            ("rejected", "ace", 1),
            gates.RIVAL,
            id="a rival far ahead",
        ),
        pytest.param(
            [("a", "ace", 0.8, 1), ("a", "king", 0.89, 2)],
            ("adopted", "ace", 1),
            "0.80 ahead",
            id="a rival a little ahead",
        ),
        pytest.param(
            [("a", "ace", 0.8, 1), ("a", "king", 0.8, 8)],
            ("adopted", "ace", 1),
            "0.80 ahead",
            id="another class elsewhere",
        ),
        pytest.param([("b", "ace", 0.9, 1)], ("rejected", None, None), gates.NOTHING_DETECTED),
    ],
)
@pytest.mark.parametrize("is_reversed", [False, True], ids=["in order", "reversed"])
def test_the_gates(
    found: list[tuple[str, str, float, float]],
    shown: tuple[str, str | None, float | None],
    reason: str,
    is_reversed: bool,
) -> None:
    judged = verdicts(detections(*(found[::-1] if is_reversed else found)), dataset(ONE))
    assert said(judged) == [("a", *shown)]
    assert reason in reasons(judged)["a"]
    assert {name: str(judged.dtypes[name]) for name in ADOPTION_COLUMNS} == ADOPTION_COLUMNS


def test_a_box_that_is_not_firm_is_rejected() -> None:
    firm, loose = detections(("a", "ace", 0.9, 1)), detections(("b", "ace", 0.9, 1), agreement=0.6)
    both = pd.concat([firm, loose])
    images = dataset(pool(a="ace", b="ace"))
    judged = verdicts(both, images, rules(min_agreement=0.7))
    assert said(judged) == [("a", "adopted", "ace", 1), ("b", "rejected", "ace", 1)]
    assert reasons(judged)["b"] == gates.NOT_FIRM
    unknown = verdicts(both.assign(agreement=np.nan), images, rules(min_agreement=0.7))
    assert set(unknown["reason"]) == {gates.NOT_FIRM}


def test_an_image_adopts_all_that_pass_or_the_best() -> None:
    found = detections(("a", "ace", 0.9, 1), ("a", "ace", 0.4, 40), ("a", "ace", 0.05, 70))
    several = verdicts(found, dataset(ONE))
    assert said(several) == [("a", "adopted", "ace", 1), ("a", "adopted", "ace", 40)]
    assert (
        said(verdicts(found, dataset(ONE), rules(further_threshold=math.inf))) == said(several)[:1]
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([("a", "ace", 0.9, 1)], [("kept", 0)], id="found again, a pixel beside"),
        pytest.param([("a", "ace", 0.3, 3)], [("kept", 0)], id="elsewhere, but not sure"),
        pytest.param([("a", "ace", 0.9, 3)], [("moved", 3)], id="elsewhere, and sure"),
        pytest.param(
            [("a", "ace", 0.9, 40)], [("adopted", 40), ("withdrawn", 0)], id="another place"
        ),
        pytest.param(
            [("a", "king", 0.9, 0), ("a", "ace", 0.7, 1)],
            [("withdrawn", 0), ("rejected", 1)],
            id="a rival",
        ),
        pytest.param(
            [("a", "king", 0.9, 0)], [("withdrawn", 0), ("rejected", 0)], id="another class"
        ),
        pytest.param([("a", "ace", 0.1, 0)], [("withdrawn", 0), ("rejected", 0)], id="hardly seen"),
        pytest.param([], [("withdrawn", 0), ("rejected", None)], id="nothing"),
        pytest.param(
            [("a", "ace", 0.9, 0), ("a", "ace", 0.9, 40)],
            [("adopted", 40), ("kept", 0)],
            id="another one beside it",
        ),
    ],
)
def test_boxes_of_earlier_rounds_are_judged_again(
    found: list[tuple[str, str, float, float]], expected: list[tuple[str, float | None]]
) -> None:
    judged = verdicts(detections(*found), dataset(ONE, ("a", "ace", 0)))
    assert sorted((row[1], row[3]) for row in said(judged)) == sorted(expected, key=str)


def test_a_withdrawn_box_says_why() -> None:
    images = dataset(pool(a="ace", b="ace"), ("a", "ace", 0), ("b", "ace", 0))
    found = detections(("b", "ace", 0.7, 0), ("b", "king", 0.9, 0))
    judged = verdicts(found, images)
    withdrawn = judged[judged["verdict"] == "withdrawn"]
    assert reasons(withdrawn) == {"a": NOT_FOUND, "b": gates.RIVAL}


def test_by_the_study_s_rule_a_box_stands_for_ever_and_the_best_of_the_class_is_adopted() -> None:
    images = dataset(pool(a="ace", b="ace", c="king"), ("a", "ace", 0))
    found = detections(
        ("a", "king", 1.0, 0),
        ("a", "ace", 0.9, 50),
        ("b", "ace", 0.89, 1),
        ("b", "ace", 0.9, 50),
        ("b", "king", 1.0, 50),
        ("c", "ace", 0.9, 1),
    )
    judged = verdicts(found, images, STUDY)
    assert said(judged) == [
        ("a", "kept", "ace", 0),
        ("b", "adopted", "ace", 50),
        ("c", "rejected", "ace", 1),
    ]
    assert reasons(judged)["a"] == NOT_AGAIN


def test_what_a_person_refused_is_not_adopted_again() -> None:
    images = dataset(ONE, refused=(("a", "ace", 0), ("a", "king", 50)))
    judged = verdicts(detections(("a", "ace", 0.9, 1), ("a", "ace", 0.8, 50)), images)
    assert said(judged) == [("a", "adopted", "ace", 50)]
    judged = verdicts(detections(("a", "ace", 0.9, 1)), images)
    assert reasons(judged) == {"a": gates.REFUSED}


def test_an_image_without_label_and_a_class_without_threshold_adopt_nothing() -> None:
    found = detections(("a", "ace", 1, 1), ("b", "joker", 1, 1))
    judged = verdicts(found, dataset(pool(a=None, b="joker")))
    assert reasons(judged) == {"a": gates.OTHER_CLASS, "b": gates.LITTLE_LEAD}


def test_images_of_people_and_images_that_vanished_are_not_judged() -> None:
    images = dataset(pool(a="ace", b="ace"), ("a", "ace", 0))
    reviewed = Dataset(images.images, images.boxes.assign(origin="reviewed"))
    judged = verdicts(detections(("a", "ace", 1, 40), ("gone", "ace", 1, 0)), reviewed)
    assert said(judged) == [("b", "rejected", None, None)]


def test_rejected_boxes_give_way_to_standing_ones() -> None:
    images = dataset(pool(a="ace", b="ace"), ("a", "ace", 0))
    found = detections(
        ("a", "ace", 0.9, 0), ("a", "ace", 0.3, 40), ("b", "ace", 0.9, 0), ("b", "ace", 0.3, 40)
    )
    judged = verdicts(found, images)
    left = reject(judged, judged.index[judged["verdict"] == "adopted"], LEFT_TO_PEOPLE)
    assert said(left) == [("a", "kept", "ace", 0), ("b", "rejected", "ace", 0)]
    assert reasons(left)["b"] == LEFT_TO_PEOPLE
    assert list(left["is_adopted"]) == [True, False]


def test_two_boxes_do_not_move_onto_one_detection() -> None:
    images = dataset(ONE, ("a", "ace", 0), ("a", "ace", 4))
    judged = verdicts(detections(("a", "ace", 0.9, 2.5)), images)
    assert said(judged) == [("a", "moved", "ace", 2.5), ("a", "withdrawn", "ace", 0)]


@pytest.mark.parametrize(
    ("further", "expected"),
    [
        (math.inf, [("a", "adopted", "ace", 50), ("a", "withdrawn", "ace", 0)]),
        (0.3, [("a", "adopted", "ace", 50), ("a", "kept", "ace", 0)]),
    ],
    ids=["one box an image", "several"],
)
def test_a_doubtful_old_box_does_not_shut_out_a_sure_new_one(
    further: float, expected: list[tuple[object, ...]]
) -> None:
    found = detections(("a", "ace", 0.95, 50), ("a", "ace", 0.25, 0))
    judged = verdicts(found, dataset(ONE, ("a", "ace", 0)), rules(further_threshold=further))
    assert said(judged) == expected


BOX = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from([*NAMES, "joker"]),
    st.sampled_from([0.1, 0.3, 0.5, 0.55, 0.9]),
    st.sampled_from([0.0, 1.0, 3.0, 20.0, 22.0, 50.0]),
)


@given(found=st.lists(BOX, max_size=12), old=st.lists(BOX, max_size=3), seed=st.randoms())
def test_whatever_is_found_every_image_has_a_verdict_and_the_order_plays_no_part(
    found: list[tuple[str, str, float, float]],
    old: list[tuple[str, str, float, float]],
    seed: random.Random,
) -> None:
    standing = {(image, x): (image, "ace", x) for image, _, _, x in old}.values()
    images = dataset(pool(a="ace", b="king", c="ace"), *standing)
    judged = verdicts(detections(*found), images)
    assert set(judged["image_id"]) == {"a", "b", "c"}
    per_image = judged.groupby("image_id")["verdict"].agg(list)
    for verdict in per_image:
        assert verdict.count("rejected") == (not {"adopted", "kept", "moved"} & set(verdict))
    old_verdicts = judged["verdict"].isin(["kept", "moved", "withdrawn"])
    assert old_verdicts.sum() == len(images.standing)
    seed.shuffle(found)
    pd.testing.assert_frame_equal(verdicts(detections(*found), images), judged)
