import time

import numpy as np
import pandas as pd
import pytest
from tests.oracle.queues import (
    XYXY_B,
    Row,
    adopted,
    asked,
    boxes,
    embeddings,
    ids,
    nothing,
    queue,
    row,
    table,
)

from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, XYXY, build_table
from boxloop.oracle.adoptions import ADOPTION_COLUMNS
from boxloop.oracle.gates import OVER_CAP
from boxloop.oracle.queue import QUEUE_COLUMNS, SURE, build_queue
from boxloop.oracle_settings import STRATEGIES, ReviewConfig


def test_the_columns_are_as_agreed() -> None:
    found = queue(row("a", 0.5), nothing("b"))
    assert found.dtypes.astype(str).to_dict() == QUEUE_COLUMNS
    bare = found.set_index("image_id").loc["b"]
    assert bare[["class_name", "score", *XYXY, "p_right"]].isna().all()
    assert queue().dtypes.astype(str).to_dict() == QUEUE_COLUMNS


@pytest.mark.parametrize(
    ("p_right", "action", "seconds"),
    [
        pytest.param(0.25, "draw", 7.0, id="below 1.8 / 7"),
        pytest.param(0.26, "verify", 1.8 + 0.74 * 7, id="above 1.8 / 7"),
        pytest.param(1.0, "verify", 1.8, id="sure"),
        pytest.param(None, "draw", 7.0, id="nothing to show"),
    ],
)
def test_a_box_is_shown_first_where_that_is_faster(
    p_right: float | None, action: str, seconds: float
) -> None:
    (found,) = queue(row("a", p_right)).to_dict("records")
    assert (found["action"], found["seconds"]) == (action, pytest.approx(seconds))


def test_value_is_what_an_answer_brings_a_second() -> None:
    found = queue(row("a", 0.5), nothing("b", image_label="king")).set_index("image_id")
    # half a chance that the box is wrong, a quarter of a bit; 1.8 s and every second time 7 s
    assert found.loc["a", "value"] == pytest.approx((0.5 + 0.25) / (1.8 + 0.5 * 7))
    assert found.loc["b", "value"] == pytest.approx(1 / 7)


def test_the_never_matched_and_the_doubtful_come_before_the_sure() -> None:
    rows = [row("sure", 0.97), row("even", 0.5), row("unlikely", 0.05), nothing("never")]
    assert asked(*rows) == ["unlikely", "never", "even", "sure"]


def test_a_sure_adopted_box_is_not_asked_about_and_a_doubtful_one_is() -> None:
    found = queue(adopted("sure", SURE), adopted("doubtful", 0.6), row("refused", 0.95))
    assert ids(found) == ["doubtful", "refused"]
    assert found.loc[0, "reason"] == "adopted, but only right with probability 0.60"


def test_a_sure_box_whose_class_has_had_its_share_is_not_asked_about() -> None:
    rows = [row("sure", SURE, reason=OVER_CAP), row("doubtful", 0.6, reason=OVER_CAP)]
    assert asked(*rows) == ["doubtful"]


def test_of_several_boxes_the_least_sure_is_shown() -> None:
    other = dict(zip(XYXY, XYXY_B, strict=True))
    (found,) = queue(adopted("a", 0.98), adopted("a", 0.6, **other)).to_dict("records")
    assert (found["p_right"], found["xmin"]) == (0.6, 20)


def test_a_box_that_stands_is_shown_and_not_the_withdrawn_one() -> None:
    gone = row("a", 0.1, verdict="withdrawn")
    (found,) = queue(gone, adopted("a", 0.7)).to_dict("records")
    assert (found["p_right"], found["reason"]) == (0.7, "its box was withdrawn")
    (found,) = queue(gone, row("a", 0.5)).to_dict("records")
    assert found["p_right"] == 0.5


def test_a_withdrawn_box_is_asked_about_before_one_as_likely() -> None:
    assert asked(row("a", 0.4), row("b", 0.4, verdict="withdrawn"), row("c", 0.4))[0] == "b"


@pytest.mark.parametrize(
    ("before", "is_changed"),
    [
        pytest.param(row("a", 0.9), False, id="the same"),
        pytest.param(row("a", 0.9, xmin=1.0), False, id="a little beside"),
        pytest.param(row("a", 0.9, xmin=6.0), True, id="elsewhere"),
        pytest.param(row("a", 0.9, class_name="king"), True, id="another class"),
        pytest.param(nothing("a"), True, id="nothing before"),
        pytest.param(row("b", 0.9), False, id="not judged before"),
    ],
)
def test_rounds_that_disagree_raise_the_value(before: Row, is_changed: bool) -> None:
    now = row("a", 0.5)
    value = queue(now)["value"].iloc[0]
    (found,) = queue(now, previous=table(before)).to_dict("records")
    assert found["value"] == pytest.approx(value * (1.25 / 0.75 if is_changed else 1))
    assert found["reason"].startswith("two rounds disagree") is is_changed


def test_nothing_found_twice_is_no_disagreement() -> None:
    assert queue(nothing("a"), previous=table(nothing("a")))["reason"].tolist() == [
        "nothing detected"
    ]
    (found,) = queue(nothing("a"), previous=table(row("a", 0.5))).to_dict("records")
    assert found["value"] == pytest.approx(1.5 / 7)


def test_one_of_several_boxes_of_the_round_before_is_enough() -> None:
    far = row("a", 0.9, xmin=20.0, xmax=30.0)
    (found,) = queue(row("a", 0.5), previous=table(far, row("a", 0.9))).to_dict("records")
    assert not found["reason"].startswith("two rounds disagree")


def test_the_detected_class_is_named_where_the_label_is_another() -> None:
    (found,) = queue(row("a", 0.1, class_name="king")).to_dict("records")
    assert found["reason"] == "detected as king, labelled ace"


def test_rare_classes_come_first() -> None:
    rows = [nothing("a"), nothing("k", image_label="king"), nothing("q", image_label="queen")]
    found = queue(*rows, in_set=boxes(ace=8, king=0, queen=3))
    assert ids(found) == ["k", "q", "a"]
    # counts 8 and 3, a mean of 5.5; the root of (5.5 + 1) / (0 + 1), a second of seven
    assert found.loc[0, "value"] == pytest.approx(6.5**0.5 / 7)


def test_no_class_fills_the_queue() -> None:
    aces = [nothing(f"a{number}") for number in range(50)]
    kings = [nothing(f"k{number}", image_label="king") for number in range(50)]
    found = queue(*aces, *kings, in_set=boxes(ace=1, king=9), items=20)
    # each that is taken counts as a box: 14 aces and 6 kings make 15 of both
    assert found["image_label"].value_counts().to_dict() == {"ace": 14, "king": 6}


def test_doubtful_boxes_of_the_set_do_not_count() -> None:
    both = [nothing("a"), nothing("k", image_label="king")]
    in_set = pd.concat([boxes(ace=2, king=1), boxes("doubtful", king=5)])
    assert asked(*both, in_set=in_set) == ["k", "a"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_images_that_look_alike_are_asked_about_once(strategy: str) -> None:
    rows = [row("a", 0.9), row("b", 0.5), row("c", 0.5)]
    groups = {"a": "g", "b": "g", "c": "c"}
    options = {"embeddings": embeddings("a", "b", "c")} if strategy == "diversity" else {}
    found = asked(*rows, groups=groups, strategy=strategy, **options)
    assert sorted(found) == ["b", "c"]


def test_what_people_have_answered_is_never_asked_again_nor_what_looks_like_it() -> None:
    rows = [nothing(name) for name in "abcdefg"]
    groups = {"a": "g1", "b": "g1", "c": "g2", "d": "g2", "e": "e", "f": "f", "g": "g"}
    given = {"class_name": "ace", "round": 1}
    in_set = build_table(
        [
            {"image_id": "a", "origin": "reviewed", **given},
            {"image_id": "e", "origin": "human", **given},
            {"image_id": "f", "origin": "adopted", **given},
        ],
        BOX_COLUMNS,
    )
    assert sorted(asked(*rows, groups=groups, in_set=in_set, asked={"c"})) == ["f", "g"]


def test_images_that_vanished_or_are_of_another_split_are_not_asked_about() -> None:
    images = build_table(
        [
            {"image_id": "a", "split": "pool", "width": 1, "height": 1},
            {"image_id": "b", "split": "validation", "width": 1, "height": 1},
        ],
        IMAGE_COLUMNS,
    )
    assert asked(nothing("a"), nothing("b"), nothing("c"), images=images) == ["a"]


def test_a_hundred_thousand_images_take_seconds() -> None:
    count, generator = 100_000, np.random.default_rng(1)
    numbers = pd.Series(range(count)).astype("string")
    low, size = generator.uniform(0, 200, (2, count, 2))
    adoptions = pd.DataFrame(dict(zip(XYXY, np.hstack([low, low + size]).T, strict=True)))
    adoptions = adoptions.assign(
        image_id=numbers,
        image_label=generator.choice(["ace", "king", "queen"], count),
        class_name=generator.choice(["ace", "king", "queen"], count),
        verdict=generator.choice(["adopted", "rejected", "withdrawn"], count),
        p_right=generator.random(count),
        score=0.5,
        reason="",
        agreement=None,
    )
    adoptions["is_adopted"] = adoptions["verdict"] == "adopted"
    adoptions = adoptions[list(ADOPTION_COLUMNS)].astype(ADOPTION_COLUMNS)
    images = pd.DataFrame({"image_id": numbers, "group": numbers, "split": "pool"})
    started = time.process_time()
    found = build_queue(
        adoptions,
        adoptions[["image_id", "class_name", "score"]],
        images,
        boxes(ace=9, king=5),
        config=ReviewConfig(items=1000),
        seed=1,
        previous=adoptions.sample(frac=0.9, random_state=1),
    )
    assert len(found) == 1000
    assert time.process_time() - started < 60
