import pytest

from boxloop.ledger import ROUND_TASKS
from boxloop.stages import RUN, STAGES, find_stage_line, stage_line, study_duration


def test_a_stage_ends_with_the_line_of_the_study() -> None:
    assert (
        stage_line("train", 27 * 60 + 51.4)
        == "Transfer learning Success [ Total learning time : 0 Hour 27 Minute 51 Second ]"
    )


def test_every_task_of_a_round_is_a_stage_and_so_is_the_run() -> None:
    assert [*STAGES] == [*ROUND_TASKS, RUN]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 Hour 0 Minute 0 Second"),
        (59.6, "0 Hour 1 Minute 0 Second"),
        (76_200, "21 Hour 10 Minute 0 Second"),
    ],
)
def test_durations_are_whole_seconds_and_carry_over(seconds: float, text: str) -> None:
    assert study_duration(seconds) == text


@pytest.mark.parametrize("task", [*ROUND_TASKS, RUN, "predict-00001-of-00002"])
def test_the_line_is_found_behind_the_time_of_day_and_nothing_else_is(task: str) -> None:
    line = stage_line(task, 3661)
    assert find_stage_line(f"2026-11-23 05:00:00,123 {line}") == line
    assert find_stage_line(f"2026-11-23 05:00:00,123 {task} is done already") is None
