import pandas as pd
import pytest

from boxloop.report.summary import RoundFacts
from boxloop.report.times import (
    format_duration,
    percent,
    phases_by_round,
    run_lines,
    run_times,
    time_rows,
    total_row,
)


def _round(number: int, train: float) -> RoundFacts:
    """Train, predict 30 s at once with an evaluation beside it, and after 5 s merge for 10 s."""
    timings = {
        "train": {"started": 0.0, "seconds": train},
        "evaluate": {"started": train, "seconds": 20.0},
        "predict": {"started": train, "seconds": 30.0},
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


def _asked(started: float) -> RoundFacts:
    """Train for 60 s, judge for 10 s, wait 100 s for people, and 5 s later merge for 10 s."""
    timings = {
        "train": {"started": started, "seconds": 60.0},
        "match_labels": {"started": started + 60.0, "seconds": 10.0, "waited": 100.0},
        "merge": {"started": started + 175.0, "seconds": 10.0},
    }
    facts = _round(1, 60.0)
    return RoundFacts(**{**vars(facts), "timings": timings})


def test_waiting_for_people_is_neither_work_nor_queueing() -> None:
    (row,) = time_rows([_asked(0.0)])
    assert (row["people"], row["between"], row["whole"]) == (100.0, 5.0, 185.0)
    assert row["queued"]["merge"] == 5.0
    assert row["neither"] == 25.0  # judging, merging and the pause between


def test_a_task_is_queued_from_the_end_of_what_it_builds_on() -> None:
    timings = {
        "parse_annotations": {"started": 100.0, "seconds": 2.0},
        "write_tfrecords": {"started": 103.0, "seconds": 1.0},
        "train": {"started": 110.0, "seconds": 60.0},
        "export": {"started": 170.0, "seconds": 10.0},
        "evaluate": {"started": 181.0, "seconds": 5.0},
        "predict-00001-of-00002": {"started": 182.0, "seconds": 9.0},
        "predict-00002-of-00002": {"started": 184.0, "seconds": 1.0},
        "predict": {"started": 191.5, "seconds": 2.0},
        "match_labels": {"started": 193.5, "seconds": 1.0},
    }
    before = RoundFacts(**{**vars(_round(1, 0.0)), "timings": {"merge": timings["train"]}})
    first = RoundFacts(**{**vars(before), "timings": {"merge": {"started": 90.0, "seconds": 3.0}}})
    second = RoundFacts(**{**vars(before), "timings": timings})
    _, row = time_rows([first, second])
    assert row["queued"] == {
        "parse_annotations": 7.0,  # since the round before ended: the gate
        "write_tfrecords": 1.0,
        "train": 6.0,  # for the GPU
        "export": 0.0,
        "evaluate": 1.0,
        "predict": 4.0,  # the worker that came last; the task itself waited 0.5 s after both
        "match_labels": 0.0,
    }
    assert row["tasks"]["predict"] == 9.0 + 2.0  # less the half second when nothing ran


def test_the_run_says_what_its_time_went_into_with_people_apart() -> None:
    times = run_times([_asked(0.0), _asked(285.0)])
    # 470 s in all; 100 s lie between the rounds
    parts = {"train": 120.0, "predict": 0.0, "rest": 40.0, "between": 110.0, "people": 200.0}
    assert times == parts
    assert run_lines({"times": times}) == [
        "Active learning Success [ Total running time : 0 Hour 4 Minute 30 Second ]",
        "of it train 0 Hour 2 Minute 0 Second (44 %), predict 0 Hour 0 Minute 0 Second (0 %), "
        "rest 0 Hour 0 Minute 40 Second (15 %), between tasks 0 Hour 1 Minute 50 Second (41 %); "
        "besides, people 0 Hour 3 Minute 20 Second",
    ]


def test_a_share_of_nothing_is_a_dash() -> None:
    assert percent(0.0, 0.0) == "\N{EN DASH}"
