import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reviews import CLASSES, DOUBTED, SURE, answer, decision, image_table, queue_table, sent

from boxloop.data.dataset import BOX_COLUMNS, XYXY
from boxloop.data.formats.annotation import Box
from boxloop.oracle.answers import (
    MAX_BYTES,
    Decision,
    Questions,
    build_answer,
    from_json,
    parse_answer,
    to_json,
)
from boxloop.oracle.decisions import (
    ENOUGH,
    median_seconds,
    parse_decision,
    refused_boxes,
    reviewed_boxes,
    standing,
)

OTHER = Box("king", 1.0, 2.0, 11.0, 12.0)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Questions:
    images = image_table(str(tmp_path_factory.mktemp("images")))
    return Questions.of(queue_table(), images, CLASSES, 1)


def test_a_decision_is_read_against_what_was_asked(tmp_path: Any) -> None:
    found = parse_decision(
        answer(action="correct", boxes=[sent(OTHER)]),
        queue=queue_table(),
        images=image_table(str(tmp_path)),
        class_names=CLASSES,
        round_number=1,
    )
    assert found == decision("a/sure.jpg", "correct", OTHER)


@pytest.mark.parametrize("action", ["reject", "skip", "undo"])
def test_decisions_without_a_box(action: str, questions: Questions) -> None:
    assert parse_answer(answer(action=action), questions) == decision("a/sure.jpg", action)


def test_an_accepted_box_is_the_proposed_one_to_the_last_digit(questions: Questions) -> None:
    shown = sent(SURE, xmin=2.13, ymax=23.745)  # as a page may round it
    found = parse_answer(answer(action="accept", boxes=[shown]), questions)
    assert found.boxes == (SURE,)


def test_it_is_known_what_was_asked(questions: Questions) -> None:
    drawn = answer(image_id="b/bare.v2.jpg", action="correct", boxes=[sent(OTHER)])
    assert parse_answer(drawn, questions).asked == "draw"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(answer()[:-9], "is not JSON", id="half-written"),
        pytest.param(b"", "is not JSON", id="empty"),
        pytest.param(b"\xff\xfe\x00", "is not UTF-8", id="no text"),
        pytest.param(b"[" * 100_000, "nested too deep", id="deep"),
        pytest.param(b"[]", "is no JSON object", id="list"),
        pytest.param(b" " * (MAX_BYTES + 1), "is larger than 1,048,576 bytes", id="huge"),
        pytest.param(answer(round=2), "round is 2; this review is of round 1", id="round"),
        pytest.param(answer(round=True), "round is a bool", id="round is a claim"),
        pytest.param(answer(round=None), "round is none", id="no round"),
        pytest.param(answer(image_id="x.jpg"), "'x.jpg'; it is not in the queue", id="image"),
        pytest.param(answer(image_id=["x"]), "image_id is a list", id="image is a list"),
        pytest.param(answer(image_id="train.jpg"), "is not in the queue", id="never asked"),
        pytest.param(answer(action="delete"), "action is 'delete'; it must be one of", id="action"),
        pytest.param(answer(action=None), "action is none; it must be a text", id="no action"),
        pytest.param(answer(seconds=-1), "seconds is -1; it must be in", id="seconds"),
        pytest.param(answer(seconds="1"), "seconds is '1'", id="seconds as text"),
        pytest.param(answer(seconds=float("nan")), "seconds is none", id="no seconds"),
        pytest.param(answer(seconds=1e6), "seconds is 1000000.0", id="days"),
        pytest.param(answer(author=""), "author is ''", id="nobody"),
        pytest.param(answer(author=7), "author is 7; it must be a text", id="author is a number"),
        pytest.param(answer(author="\x1b[31m"), "a name that can be printed", id="colours"),
        pytest.param(answer(author="\ud800"), "author is", id="half a character"),
        pytest.param(answer(author="a" * 201), "a name that can be printed", id="long name"),
        pytest.param(answer(decided_at="soon"), "decided_at is 'soon'", id="no time"),
        pytest.param(answer(decided_at="2026-11-23T01:02:03"), "decided_at is", id="no zone"),
        pytest.param(answer(boxes={}), "boxes is a dict; it must be a list", id="boxes"),
        pytest.param(answer(boxes=[5]), "box 1 is 5; it must be an object", id="box is a number"),
        pytest.param(answer(boxes=[sent(OTHER)]), "reject takes no boxes, got 1", id="rejected"),
        pytest.param(answer(action="correct"), "needs at least one box", id="no correction"),
        pytest.param(answer(action="accept"), "another box than the proposed one", id="no box"),
        pytest.param(
            answer(action="accept", boxes=[sent(OTHER)]), "send it as a correction", id="other box"
        ),
        pytest.param(
            answer(action="accept", boxes=[sent(SURE, class_name="king")]),
            "another box than the proposed one",
            id="other class",
        ),
        pytest.param(
            answer(action="accept", image_id="b/bare.v2.jpg", boxes=[sent(OTHER)]),
            "nothing was proposed",
            id="nothing to accept",
        ),
    ],
)
def test_what_is_no_decision_is_refused(data: bytes, problem: str, questions: Questions) -> None:
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        parse_answer(data, questions)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"class_name": "joker"}, "box 1: class 'joker' is unknown to the label map"),
        ({"class_name": None}, "box 1: class none is unknown"),
        ({"class_name": ["ace"]}, "box 1: class a list is unknown"),
        ({"xmin": -0.5}, "leaves its image of 40 x 30 pixels"),
        ({"xmax": 40.1}, "leaves its image of 40 x 30 pixels"),
        ({"ymax": 30.1}, "leaves its image of 40 x 30 pixels"),
        ({"xmin": 11.0}, "box 1 is empty"),
        ({"ymin": 13.0}, "box 1 is empty"),
        ({"xmax": float("inf")}, "box 1: xmax is none, no number"),
        ({"ymin": "2"}, "box 1: ymin is '2', no number"),
        ({"xmin": 1e300}, "box 1: xmin is none, no number"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_box_that_makes_no_sense_is_refused(
    fields: dict[str, Any], problem: str, questions: Questions
) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_answer(answer(action="correct", boxes=[sent(OTHER, **fields)]), questions)


def test_a_box_may_fill_its_image(questions: Questions) -> None:
    whole = Box("ace", 0, 0, 40, 30)
    assert parse_answer(answer(action="correct", boxes=[sent(whole)]), questions).boxes == (whole,)


def test_an_image_that_vanished_is_not_asked_about() -> None:
    images = pd.DataFrame([{"image_id": "b/doubted.jpg", "width": 40, "height": 30}])
    left = Questions.of(queue_table(), images, CLASSES, 1)
    assert list(left.images) == ["b/doubted.jpg"]


NUMBERS = st.floats() | st.integers()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["class_name", *XYXY]), inner, max_size=5)
    ),
    max_leaves=8,
)


@given(data=st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes, questions: Questions) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_answer(data, questions)


@settings(max_examples=40)
@given(field=st.sampled_from([*json.loads(answer())]), value=JSON)
def test_no_field_does_more_than_be_refused(field: str, value: Any, questions: Questions) -> None:
    try:
        found = parse_answer(answer(**{"action": "correct"} | {field: value}), questions)
    except ValueError:
        return
    assert found.image_id == "a/sure.jpg"
    assert all(0 <= one.xmin < one.xmax <= 40 and 0 <= one.ymin < one.ymax for one in found.boxes)


@given(
    corners=st.lists(st.tuples(st.floats(0, 39), st.floats(0, 29)), min_size=1, max_size=5),
    seconds=st.floats(0, 86_400),
)
def test_a_decision_is_read_as_it_was_written(
    corners: list[tuple[float, float]], seconds: float, questions: Questions
) -> None:
    boxes = [Box("king", x, y, x + 0.5, y + 0.25) for x, y in corners]
    made = decision("b/doubted.jpg", "correct", *boxes, seconds=seconds)
    assert parse_answer(build_answer(made), questions) == made
    named = replace(made, name="1.json", asked="draw")
    assert from_json(json.loads(json.dumps(to_json(named)))) == named


def named(number: int, image_id: str, action: str, *boxes: Box) -> Decision:
    return decision(image_id, action, *boxes, name=f"{number:020d}-0a.json")


def test_the_newest_decision_counts_whatever_the_order_of_reading() -> None:
    first, second = named(1, "a", "reject"), named(2, "a", "correct", OTHER)
    other = named(3, "0", "skip")
    assert standing([other, second, first]) == [other, second]


@pytest.mark.parametrize(
    ("actions", "left"),
    [
        (["reject", "undo"], None),
        (["reject", "correct", "undo"], "reject"),
        (["reject", "correct", "undo", "undo"], None),
        (["reject", "undo", "skip"], "skip"),
        (["undo", "reject"], "reject"),
        (["reject", "undo", "undo", "skip", "reject"], "reject"),
    ],
)
def test_undo_takes_back_what_stands(actions: list[str], left: str | None) -> None:
    made = [named(number, "a", action) for number, action in enumerate(actions)]
    made.append(named(99, "b", "skip"))  # another image's
    assert [one.action for one in standing(made)] == ([left] if left else []) + ["skip"]


def test_a_skip_never_covers_another_persons_answer() -> None:
    answered = named(1, "a", "reject")
    assert standing([answered, replace(named(2, "a", "skip"), author="ben")]) == [answered]
    skipped = named(2, "a", "skip")  # one's own answer may be passed over again
    assert standing([answered, skipped]) == [skipped]
    late = replace(named(2, "a", "skip"), author="ben")
    assert standing([answered, late, named(3, "a", "undo")]) == []


def test_a_question_to_draw_proposes_nothing_and_others_stand() -> None:
    queue = queue_table()
    queue["action"] = "draw"
    images = pd.DataFrame({"image_id": queue["image_id"], "width": 99, "height": 99})
    stands = {"a/sure.jpg": [SURE, OTHER]}
    asked = Questions.of(queue, images, CLASSES, 1, stands).images["a/sure.jpg"]
    assert (asked.proposed, asked.others) == (None, (OTHER,))
    queue["action"] = "verify"
    asked = Questions.of(queue, images, CLASSES, 1, stands).images["a/sure.jpg"]
    assert (asked.proposed, asked.others) == (SURE, (OTHER,))


def test_reviewed_boxes_say_who_and_how() -> None:
    table = reviewed_boxes(
        [
            decision("a", "accept", SURE),
            decision("b", "correct", OTHER, SURE, author="ben"),
            decision("c", "correct", OTHER, asked="draw"),
            decision("d", "reject"),
            decision("e", "skip"),
        ],
        3,
    )
    assert table.dtypes.astype(str).to_dict() == BOX_COLUMNS
    assert table["image_id"].tolist() == ["a", "b", "b", "c"]
    assert table["reason"].tolist() == ["accepted", "corrected", "corrected", "drawn"]
    assert table["author"].tolist() == ["anna", "ben", "ben", "anna"]
    assert set(table["origin"]) == {"reviewed"}
    assert (table["round"] == 3).all()
    assert table[XYXY].to_numpy()[0].tolist() == list(SURE.xyxy)


def test_refused_boxes_are_the_proposed_ones() -> None:
    made = [decision("b/doubted.jpg", "reject", author="ben"), decision("b/bare.v2.jpg", "reject")]
    table = refused_boxes([*made, decision("a/sure.jpg", "accept", SURE)], queue_table())
    doubted, bare = table.to_dict("records")
    assert doubted == {"image_id": "b/doubted.jpg", **sent(DOUBTED), "round": 1, "author": "ben"}
    assert bare["image_id"] == "b/bare.v2.jpg"
    assert pd.isna([bare["class_name"], bare["xmin"], bare["ymax"]]).all()  # the whole image
    assert refused_boxes([], queue_table()).empty


def test_answers_say_what_they_took_once_there_are_enough() -> None:
    verified = [
        replace(decision("a.jpg", "accept"), seconds=2.0 + (number == 0))
        for number in range(ENOUGH)
    ]
    imported = [replace(decision("a.jpg", "accept"), seconds=0.0)] * ENOUGH
    drawn = [replace(decision("a.jpg", "accept"), seconds=9.0, asked="draw")] * (ENOUGH - 1)
    assert median_seconds([*verified, *imported, *drawn]) == {"verify": 2.0}
    assert median_seconds([*drawn, drawn[0]]) == {"draw": 9.0}
