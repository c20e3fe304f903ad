import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.data.dataset import BOX_COLUMNS, DETECTION_COLUMNS, IMAGE_COLUMNS, XYXY, build_table
from boxloop.oracle.acquisition import spread
from boxloop.oracle.adoptions import ADOPTION_COLUMNS
from boxloop.oracle.gates import OVER_CAP
from boxloop.oracle.queue import QUEUE_COLUMNS, SURE, build_queue
from boxloop.oracle_settings import STRATEGIES, ReviewConfig

XYXY_A, XYXY_B = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 30.0, 30.0)
Row = dict[str, Any]


def row(image_id: str, p_right: float | None, **fields: Any) -> Row:
    """An image's rejected detection of its own class, or nothing detected."""
    found: Row = {"image_id": image_id, "image_label": "ace", "verdict": "rejected"}
    if p_right is not None:
        box = dict(zip(XYXY, XYXY_A, strict=True))
        found |= {"class_name": "ace", "score": p_right, "p_right": p_right, **box}
    return found | fields


def nothing(image_id: str, **fields: Any) -> Row:
    return row(image_id, None, **fields)


def adopted(image_id: str, p_right: float, **fields: Any) -> Row:
    return row(image_id, p_right, verdict="adopted", is_adopted=True, **fields)


def table(*rows: Row) -> pd.DataFrame:
    return build_table(list(rows), ADOPTION_COLUMNS)


def boxes(origin: str = "human", **counts: int) -> pd.DataFrame:
    rows: list[dict[str, object]] = [
        {"image_id": f"{name}{i}", "class_name": name, "origin": origin, "round": 0}
        for name, count in counts.items()
        for i in range(count)
    ]
    return build_table(rows, BOX_COLUMNS)


def queue(
    *rows: Row,
    groups: dict[str, str] | None = None,
    detections: list[dict[str, object]] | None = None,
    in_set: pd.DataFrame | None = None,
    images: pd.DataFrame | None = None,
    seed: int = 1,
    strategy: str = "value",
    items: int = 100,
    **options: Any,
) -> pd.DataFrame:
    adoptions = table(*rows)
    if images is None:
        ids = adoptions["image_id"].unique()
        its_group = groups or {}
        images = build_table(
            [
                {"image_id": name, "split": "pool", "group": its_group.get(name, name)}
                | {"width": 40, "height": 40}
                for name in ids
            ],
            IMAGE_COLUMNS,
        )
    return build_queue(
        adoptions,
        build_table(detections or [], DETECTION_COLUMNS),
        images,
        boxes() if in_set is None else in_set,
        config=ReviewConfig(strategy=strategy, items=items),
        seed=seed,
        **options,
    )


def ids(found: pd.DataFrame) -> list[str]:
    return [str(image_id) for image_id in found["image_id"]]


def asked(*rows: Row, **options: Any) -> list[str]:
    return ids(queue(*rows, **options))


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


def test_the_least_confident_comes_first() -> None:
    detections = found_in({"a": [0.9, 0.2], "b": [0.4], "c": [0.6, 0.6]})
    rows = [row(name, 0.5) for name in "abcd"]
    assert asked(*rows, detections=detections, strategy="least_confidence") == [*"dbca"]


def test_entropy_is_summed_over_the_image() -> None:
    # in bits: 0.47 + 0.72, 0.97, 0.97 twice, none
    detections = found_in({"a": [0.9, 0.2], "b": [0.4], "c": [0.6, 0.6]})
    rows = [row(name, 0.5) for name in "abcd"]
    found = queue(*rows, detections=detections, strategy="entropy")
    assert ids(found) == [*"cabd"]
    assert found["reason"].tolist()[1] == "entropy 1.19"


def test_margin_is_between_the_best_two_classes() -> None:
    detections = found_in({"a": [0.9, 0.8], "b": [0.9], "c": [0.9]})
    detections += found_in({"b": [0.7], "c": [0.3]}, "king")
    rows = [row(name, 0.5) for name in "abcd"]
    found = asked(*rows, detections=detections, strategy="margin")
    assert found == ["d", "b", "c", "a"]  # 1 - 0, 1 - 0.2, 1 - 0.6, 1 - 0.9


def found_in(scores: dict[str, list[float]], class_name: str = "ace") -> list[dict[str, object]]:
    return [
        {"image_id": image_id, "class_name": class_name, "score": score}
        for image_id, own in scores.items()
        for score in own
    ]


def embeddings(*image_ids: str, **vectors: list[float]) -> pd.DataFrame:
    """Vectors as one column of lists, those without one by their letter."""
    own = {image_id: [float(ord(image_id[0])), 0.0] for image_id in image_ids} | vectors
    return pd.DataFrame({"image_id": [*own], "embedding": [*own.values()]})


def test_diversity_takes_images_that_differ_from_each_class() -> None:
    near, far = {f"n{i}": [0.0, i / 1000] for i in range(30)}, {"far": [9.0, 9.0]}
    kings = {f"k{i}": [5.0, float(i)] for i in range(3)}
    rows = [nothing(name) for name in [*near, *far]]
    rows += [nothing(name, image_label="king") for name in kings]
    given = embeddings(**near, **far, **kings)
    for seed in range(5):
        found = queue(*rows, strategy="diversity", embeddings=given, items=4, seed=seed)
        assert found["image_label"].value_counts().to_dict() == {"ace": 2, "king": 2}
        assert "far" in ids(found)


def test_what_a_rare_class_has_not_goes_to_the_others() -> None:
    rows = [nothing(f"a{i}") for i in range(9)] + [nothing("k", image_label="king")]
    given = embeddings(*(str(one["image_id"]) for one in rows))
    found = queue(*rows, strategy="diversity", embeddings=given, items=6)
    assert found["image_label"].value_counts().to_dict() == {"ace": 5, "king": 1}


def test_embeddings_may_be_one_column_a_dimension() -> None:
    wide = pd.DataFrame({"image_id": ["a", "b"], "x": [0.0, 1.0], "y": [2.0, 3.0]})
    rows = [nothing("a"), nothing("b"), nothing("without")]
    assert sorted(asked(*rows, strategy="diversity", embeddings=wide)) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "review.strategy is diversity, which needs an embedding of each pool image"),
        (embeddings(a=[0.0, float("nan")]), "embeddings: some are not finite"),
        (embeddings(a=[0.0], b=[0.0, 1.0]), "embeddings: are not vectors of one length"),
    ],
)
def test_diversity_needs_embeddings(given: pd.DataFrame | None, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        queue(nothing("a"), nothing("b"), strategy="diversity", embeddings=given)


def test_vectors_that_are_all_the_same_are_spread_as_well() -> None:
    drawn = spread(np.zeros((5, 2)), 4, np.random.default_rng(1))
    assert len(set(drawn.tolist())) == 4


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 9))
def test_no_vector_is_drawn_twice(count: int, number: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).integers(0, 3, (count, 2)).astype(float)
    drawn = spread(vectors, number, np.random.default_rng(seed))
    assert len(set(drawn.tolist())) == len(drawn) == min(count, number)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_asks_the_same_in_whatever_order_the_tables_come(strategy: str) -> None:
    names = [f"{number:03d}" for number in range(60)]
    rows = [row(name, None if int(name) % 3 else 0.5) for name in names]
    detections = found_in({name: [0.5] for name in names[:30]})
    options: Row = {"strategy": strategy, "items": 12, "detections": detections}
    vectors = {name: [float(number % 7), float(number % 5)] for number, name in enumerate(names)}
    options["embeddings"] = embeddings(**vectors)
    first = queue(*rows, **options)
    pd.testing.assert_frame_equal(first, queue(*reversed(rows), **options))
    assert ids(first) != ids(queue(*rows, **options, seed=2))


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
