import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.queues import Row, asked, embeddings, found_in, ids, nothing, queue, row

from boxloop.oracle.acquisition import spread
from boxloop.oracle_settings import STRATEGIES


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
