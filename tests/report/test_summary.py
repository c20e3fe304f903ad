from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from boxloop.data.dataset import BOX_COLUMNS, build_table
from boxloop.report.summary import RoundFacts, adoption_precision, check_chain, elapsed_seconds


def _boxes(rows: Sequence[tuple[str, str, Sequence[float]]]) -> pd.DataFrame:
    keys = ("image_id", "class_name", "xmin", "ymin", "xmax", "ymax")
    rows_by_name: list[dict[str, object]] = [
        dict(zip(keys, (image_id, name, *box), strict=True)) for image_id, name, box in rows
    ]
    return build_table([{"round": 0, **row} for row in rows_by_name], BOX_COLUMNS)


def _adopted(rows: Sequence[tuple[str, str, Sequence[float]]]) -> pd.DataFrame:
    return _boxes(rows).assign(is_adopted=True)


TRUTH = _boxes([("a", "pip", (0, 0, 10, 10)), ("a", "tock", (20, 20, 30, 30))])


@pytest.mark.parametrize(
    ("adopted", "expected"),
    [
        # 50 / (100 + 50 - 50) is just enough, 40 / 100 is not
        pytest.param([("a", "pip", (0, 0, 10, 5))], 1.0, id="IoU of one half"),
        pytest.param([("a", "pip", (0, 0, 10, 4))], 0.0, id="IoU below one half"),
        pytest.param([("a", "pip", (20, 20, 30, 30))], 0.0, id="box of another class"),
        pytest.param([("a", "wisp", (0, 0, 10, 10))], 0.0, id="class not in the image"),
        pytest.param(
            [("a", "pip", (0, 0, 10, 10)), ("b", "pip", (0, 0, 10, 10))],
            1.0,
            id="image without truth does not count",
        ),
        pytest.param([("b", "pip", (0, 0, 10, 10))], None, id="no truth for any of them"),
        pytest.param([], None, id="nothing adopted"),
    ],
)
def test_adoption_precision_asks_for_class_and_overlap(
    adopted: Sequence[tuple[str, str, Sequence[float]]], expected: float | None
) -> None:
    assert adoption_precision(_adopted(adopted), TRUTH) == expected


def test_adoption_precision_ignores_what_was_not_adopted() -> None:
    rows = _adopted([("a", "pip", (0, 0, 10, 10)), ("a", "pip", (50, 50, 60, 60))])
    assert adoption_precision(rows, TRUTH) == 0.5
    assert adoption_precision(rows.assign(is_adopted=[True, False]), TRUTH) == 1.0


def test_without_truth_adoption_precision_is_not_known() -> None:
    assert adoption_precision(_adopted([("a", "pip", (0, 0, 10, 10))]), None) is None


def _chain(parents: Sequence[str | None]) -> list[dict[str, Any]]:
    return [{"round": i + 1, "parent_digest": parent} for i, parent in enumerate(parents)]


def test_a_chain_in_which_each_round_names_the_one_before_is_fine() -> None:
    check_chain(_chain([None, "d1", "d2"]), ["d1", "d2", "d3"])


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        (["d1", "NEW", "d3", "d4"], "rounds 3-4 were built on an older round 2; clear them"),
        (["d1", "d2", "NEW", "d4"], "round 4 was built on an older round 3; clear it"),
    ],
)
def test_a_round_built_on_an_older_one_is_named(digests: Sequence[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_chain(_chain([None, "d1", "d2", "d3"]), digests)


def _timed(timings: dict[str, tuple[float, float]]) -> RoundFacts:
    return RoundFacts(
        summary={"round": 1},
        evaluation={},
        adoptions=pd.DataFrame(),
        timings={name: {"started": t[0], "seconds": t[1]} for name, t in timings.items()},
        training_boxes={},
    )


def test_parallel_workers_count_once_and_tasks_follow_their_start() -> None:
    facts = _timed(
        {"predict-00001-of-00002": (60, 9), "predict-00002-of-00002": (61, 12), "train": (0, 60)}
    )
    assert list(facts.seconds.items()) == [("train", 60), ("predict", 13)]


def test_elapsed_time_includes_what_lies_between_the_tasks() -> None:
    rounds = [_timed({"train": (100, 50)}), _timed({"train": (300, 20), "merge": (325, 1)})]
    assert elapsed_seconds(rounds) == 226
    assert elapsed_seconds([_timed({})]) == 0
