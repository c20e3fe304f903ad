import dataclasses

import pandas as pd
import pytest
from tests.oracle.pools import dataset, detections, place, pool

from boxloop.data.dataset import ADOPTED, DOUBTFUL, Dataset, build_table
from boxloop.oracle.adoptions import ADOPTION_COLUMNS
from boxloop.oracle.gates import OVER_CAP, UNREADABLE
from boxloop.oracle.pool import Judged, Part, judge_pool, propose
from boxloop.oracle.queue import QUEUE_COLUMNS
from boxloop.oracle_settings import OracleConfig

STUDY = OracleConfig(mode="study", min_score=0.5)
NOBODY_ASKED = build_table([], QUEUE_COLUMNS)


def with_counts(images: pd.DataFrame, count: int) -> Dataset:
    """Return a pool whose training images have so many aces."""
    train = pool(t="ace").assign(split="train")
    box = dataset(train, ("t", "ace", 0)).boxes.assign(origin="human", score=None)
    boxes = pd.concat([box] * count, ignore_index=True)
    return Dataset(pd.concat([images, train], ignore_index=True), boxes)


def judged(data: Dataset, *parts: Part, config: OracleConfig = STUDY) -> Judged:
    return judge_pool(parts, data, config, None)


def test_a_class_adopts_no_more_than_its_share_and_the_best_go_first() -> None:
    images = pool(a="ace", b="ace", c="ace")
    data = with_counts(images, 1)
    found = detections(("a", "ace", 0.7, 0), ("b", "ace", 0.9, 0), ("c", "ace", 0.8, 0))
    capped = OracleConfig(min_score=0.5, class_cap=2.0)
    table = judged(data, Part(found, images), config=capped).table
    assert table.loc[table["verdict"] == ADOPTED, "image_id"].tolist() == ["b", "c"]
    assert table.loc[table["image_id"] == "a", "reason"].tolist() == [OVER_CAP]
    nothing = judged(data, Part(found[:0], images), config=capped).table
    assert set(nothing["verdict"]) == {"rejected"}
    for uncapped in (dataclasses.replace(capped, class_cap=0.0), STUDY):
        assert judged(data, Part(found, images), config=uncapped).table["is_adopted"].all()


def test_how_the_pool_is_parted_plays_no_part() -> None:
    images = pool(a="ace", b="ace", c="ace", d="king")
    data = with_counts(images, 1)
    found = detections(*((name, "ace", 0.8, 0.0) for name in "abc"))
    capped = OracleConfig(min_score=0.5)
    tables = []
    for names in ("abcd", "dcba"):
        parts = [
            Part(found[found["image_id"] == name], images[images["image_id"] == name])
            for name in names
        ]
        tables.append(judged(data, *parts, config=capped).table)
    whole = judged(data, Part(found, images), config=capped).table
    for table in tables:
        pd.testing.assert_frame_equal(table, whole)
    assert whole.loc[whole["is_adopted"], "image_id"].tolist() == ["a"]
    assert {name: str(whole.dtypes[name]) for name in ADOPTION_COLUMNS} == ADOPTION_COLUMNS


def test_what_cannot_be_read_says_so() -> None:
    images = pool(a="ace")
    table = judged(dataset(images), Part(detections(), images, is_read=False)).table
    assert table["reason"].tolist() == [UNREADABLE]


def proposed(
    data: Dataset, found: pd.DataFrame, shown: pd.DataFrame = NOBODY_ASKED
) -> pd.DataFrame:
    config = OracleConfig(mode="study", min_score=0.5, doubt_score=0.2)
    said = judged(data, Part(found, data.candidates), config=config)
    return propose(said, shown, data, config, round_number=2, model="second")


def test_what_else_may_be_an_object_in_an_adopted_image_is_doubtful() -> None:
    found = detections(
        ("a", "ace", 0.9, 0),  # adopted
        ("a", "king", 0.6, 3),  # IoU 70 / 130 > 0.5 with the adopted box: its rival, so wrong
        ("a", "king", 0.5, 4),  # IoU 60 / 140 < 0.5
        ("a", "ace", 0.2, 50),  # another of the same class
        ("a", "queen", 0.19, 80),  # too weak
        ("b", "king", 0.9, 0),  # nothing adopted in its image
    )
    boxes = proposed(with_counts(pool(a="ace", b="ace"), 1), found)
    rows = boxes[["image_id", "origin", "class_name", "xmin", "round", "model", "mode"]]
    assert rows.to_numpy().tolist() == [
        ["a", ADOPTED, "ace", 0, 2, "second", "study"],
        ["a", DOUBTFUL, "king", 4, 2, "second", "study"],
        ["a", DOUBTFUL, "ace", 50, 2, "second", "study"],
    ]


def test_what_is_doubtful_beside_a_box_that_people_are_shown_is_proposed_as_well() -> None:
    found = detections(("b", "king", 0.9, 0), ("b", "ace", 0.4, 50))
    shown = build_table([{"image_id": "b", **place(0)}, {"image_id": "c"}], QUEUE_COLUMNS)
    boxes = proposed(dataset(pool(b="queen", c="queen")), found, shown)
    assert boxes[["origin", "class_name"]].to_numpy().tolist() == [[DOUBTFUL, "ace"]]


def test_what_is_doubtful_stays_where_nobody_looks_again() -> None:
    data = dataset(pool(a="ace"), ("a", "ace", 0))
    old = data.boxes.assign(origin=DOUBTFUL, class_name="king", xmin=50.0, xmax=60.0)
    both = Dataset(data.images, pd.concat([data.boxes, old], ignore_index=True))
    boxes = proposed(both, detections())
    pd.testing.assert_frame_equal(boxes, both.boxes)


@pytest.mark.parametrize("with_scores", [False, True])
def test_an_adopted_box_weighs_as_people_s_or_by_its_score(with_scores: bool) -> None:
    data = with_counts(pool(a="ace"), 1)
    config = dataclasses.replace(STUDY, score_weights=with_scores)
    said = judged(data, Part(detections(("a", "ace", 0.75, 0)), data.candidates), config=config)
    (box,) = propose(said, NOBODY_ASKED, data, config, round_number=1, model="m").to_dict("records")
    assert (box["weight"], box["score"]) == (0.75 if with_scores else 1.0, 0.75)
