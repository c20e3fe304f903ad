import pandas as pd
import pytest

from boxloop.report.summary import RoundFacts
from boxloop.report.times import format_duration, phases_by_round, time_rows, total_row


def _round(number: int, train: float) -> RoundFacts:
    """Train, predict 30 s at once with an evaluation beside it, and after 5 s merge for 10 s."""
    timings = {
        "train": {"started": 0.0, "seconds": train},
        "evaluate": {"started": train, "seconds": 20.0},
        "predict-00000-of-00001": {"started": train, "seconds": 30.0},
        "merge": {"started": train + 35.0, "seconds": 10.0},
    }
    return RoundFacts(
        summary={"round": number},
        evaluation={},
        adoptions=pd.DataFrame(),
        timings=timings,
        training_boxes={},
    )


def test_the_parts_of_a_round_are_tasks_and_what_lies_between() -> None:
    (row,) = time_rows([_round(1, 60.0)])
    assert row["tasks"] == {"train": 60.0, "evaluate": 20.0, "predict": 30.0, "merge": 10.0}
    assert (row["between"], row["whole"], row["neither"]) == (5.0, 105.0, 15.0)


def test_totals_are_sums_over_rounds() -> None:
    total = total_row(time_rows([_round(1, 60.0), _round(2, 80.0)]))
    assert total["tasks"] == {"train": 140.0, "evaluate": 40.0, "predict": 60.0, "merge": 20.0}
    assert (total["between"], total["whole"], total["neither"]) == (10.0, 230.0, 30.0)


def test_phases_add_up_to_the_round_in_a_unit_that_fits() -> None:
    unit, phases = phases_by_round(time_rows([_round(1, 60.0), _round(2, 195.0)]))
    assert unit == "minutes"  # the longest round is 240 s
    assert [sum(parts) for parts in zip(*phases.values(), strict=True)] == [1.75, 4.0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (323, "5 min 23 s"),
        (76_200, "21 h 10 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
