from typing import Any

import pytest
from rich.console import Console

from boxloop.local_airflow.follow import (
    View,
    build_view,
    changes,
    current_task,
    format_seconds,
    render,
    seconds_left,
)

NOON = 1795348800.0  # 2026-11-22T12:00:00Z


def moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(seconds, 60)
    return f"2026-11-22T12:{int(minutes):02d}:{rest:06.3f}Z"


def instance(
    task: str,
    round_number: int | None,
    state: str | None,
    start: float | None = None,
    end: float | None = None,
) -> dict[str, Any]:
    """Return a task instance as the API describes it; times in seconds after noon."""
    return {
        "id": f"{task}-{round_number}",
        "task_id": f"round.{task}" if round_number else task,
        "map_index": round_number - 1 if round_number else -1,
        "state": state,
        "start_date": moment(start),
        "end_date": moment(end),
        "duration": end - start if start is not None and end is not None else None,
    }


PLANNED = instance("plan_rounds", None, "success", 0, 10)
ROUND_1 = [
    instance("gate", 1, "success", 10, 11),
    instance("train", 1, "success", 15, 45),
    instance("merge", 1, "success", 109, 110),
]
ROUND_2 = [
    instance("gate", 2, "success", 12, 115),
    instance("train", 2, "running", 120),
    instance("merge", 2, None),
]
ROUND_3 = [
    instance("gate", 3, "deferred", 116),
    instance("train", 3, None),
    instance("merge", 3, None),
]
RUN = [PLANNED, *ROUND_1, *ROUND_2, *ROUND_3, instance("report", None, None)]


def test_view_of_a_running_round() -> None:
    progress = {"step": 40, "steps": 120, "images_per_second": 55.1}
    assert build_view(RUN, progress, NOON + 140) == View(
        round_number=2,
        rounds=3,
        task="train",
        elapsed_seconds=140,
        left_seconds=170,  # round 1 took 10 to 110, so two rounds take 200, of which 30 are over
        progress=progress,
    )


def test_view_before_anything_has_started() -> None:
    waiting = [instance("plan_rounds", None, None), instance("gate", None, None)]
    view = build_view(waiting, {}, NOON)
    assert (view.round_number, view.rounds, view.task) == (None, 0, "waiting for Airflow")
    assert (view.elapsed_seconds, view.left_seconds) == (0, None)


def test_time_left_is_unknown_in_the_first_round_and_nothing_after_the_last() -> None:
    assert seconds_left([PLANNED, instance("gate", 1, "success", 10, 11)], NOON + 50) is None
    assert seconds_left([PLANNED, *ROUND_1], NOON + 120) == 0


def test_time_left_is_never_negative_and_skipped_rounds_take_none() -> None:
    assert seconds_left([PLANNED, *ROUND_1, *ROUND_2], NOON + 5000) == 0
    skipped = [instance("gate", 2, "skipped", 12, 115), instance("merge", 2, "skipped", 116, 116)]
    assert seconds_left([PLANNED, *ROUND_1, *skipped], NOON + 120) == 0


def test_a_gate_that_waits_is_not_the_task_at_work() -> None:
    waiting = [instance("gate", 2, "running", 12), instance("train", 1, "queued")]
    found = current_task(waiting)
    assert found is not None
    assert found["id"] == "train-1"


def test_a_running_task_says_more_than_one_that_is_put_off() -> None:
    found = current_task(
        [instance("predict_00", 1, "up_for_retry", 1, 2), instance("predict_01", 1, "running", 1)]
    )
    assert found is not None
    assert found["id"] == "predict_01-1"


def test_of_two_tasks_at_work_the_one_begun_last_is_shown() -> None:
    found = current_task(
        [instance("evaluate", 1, "running", 50), instance("predict", 1, "running", 70)]
    )
    assert found is not None
    assert found["id"] == "predict-1"


def test_a_line_for_each_task_that_ended_since_the_last_poll() -> None:
    before = {i["id"]: i["state"] for i in [*ROUND_1, *ROUND_2, *ROUND_3]}
    after = [
        *ROUND_1,
        instance("gate", 2, "success", 12, 115),
        instance("train", 2, "success", 120, 150.26),
        instance("evaluate", 2, "up_for_retry", 151, 152),
        instance("gate", 3, "deferred", 116),
    ]
    assert changes(before, after) == [
        "round 2 of 3: train done in 30.3 s",
        "round 2 of 3: evaluate failed, will be tried again",
    ]


def test_of_a_skipped_round_only_the_gate_has_a_line() -> None:
    skipped = [instance(name, 2, "skipped", 1, 1) for name in ("gate", "train", "merge")]
    assert changes({}, skipped) == ["round 2 of 1: gate not needed, the experiment has stopped"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "0:07"), (59.6, "1:00"), (750, "12:30"), (3900, "1:05:00")]
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def rendered(view: View) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(render(view))
    return capture.get()


def test_the_table_shows_step_speed_and_time() -> None:
    text = rendered(
        build_view(RUN, {"step": 40, "steps": 120, "images_per_second": 55.1}, NOON + 140)
    )
    for part in ("2 of 3", "train", "40 of 120", "55.1", "2:20", "about 2:50"):
        assert part in text


def test_the_table_of_a_task_without_progress() -> None:
    text = rendered(build_view([PLANNED], {}, NOON + 5))
    assert "known after round 1" in text
