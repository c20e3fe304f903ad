from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx`")  # Airflow imports FastAPI's client
START = datetime(2026, 11, 23, tzinfo=UTC)


def instance(task: str = "round.train", index: int = 0, **facts: Any) -> Any:
    """Return an instance that could run at once, began after 5 s, and took 100 s."""
    from boxloop_airflow.rounds_page.matrix import Instance

    moments: dict[str, Any] = {"scheduled_dttm": 0, "start_date": 5, "end_date": 105}
    moments |= {"asked": None, "answered": None}
    moments |= {key: facts.pop(key) for key in list(facts) if key in moments}
    dates: dict[str, Any] = {
        key: None if at is None else START + timedelta(seconds=at) for key, at in moments.items()
    }
    given: dict[str, Any] = {"state": "success", "try_number": 1} | facts
    return Instance(task_id=task, map_index=index, **given, **dates)


def cell(*where: Any, **facts: Any) -> dict[str, Any]:
    from boxloop_airflow.rounds_page.matrix import cell

    return cell(instance(*where, **facts))


def test_a_task_that_is_done_has_its_time_and_that_in_the_queue() -> None:
    found = cell(try_number=3)
    assert found == {
        "state": "success",
        "index": 0,
        "tries": 3,
        "start": START.timestamp() + 5,
        "queued": 5,
        "seconds": 100,
    }


def test_all_that_a_gate_does_is_waiting_and_so_is_its_time_in_the_queue() -> None:
    found = cell("round.gate")
    assert (found["waiting"], found["could"], "queued" in found) == (105, START.timestamp(), False)
    running = cell("round.gate", state="deferred")
    assert (running["could"], "queued" in running) == (START.timestamp(), False)


def test_waiting_for_people_is_no_work() -> None:
    found = cell("round.match_labels", asked=15, answered=85)
    assert (found["seconds"], found["waiting"]) == (100, 70)


def test_what_people_took_is_no_work_while_the_task_goes_on_after_it() -> None:
    assert cell("round.match_labels", state="running", asked=15, answered=85)["waiting"] == 70
    assert "waiting" not in cell("round.match_labels", state="awaiting_input", asked=15)


def test_a_task_that_came_back_from_waiting_was_not_in_the_queue_before_its_start() -> None:
    assert "queued" not in cell("round.match_labels", scheduled_dttm=85)


def test_a_cleared_task_has_no_times_of_before() -> None:
    assert cell(state=None) == {"state": "none", "index": 0}
    assert cell(state="scheduled") == {
        "state": "scheduled",
        "index": 0,
        "since": START.timestamp(),
    }


def test_a_running_task_has_a_start_and_no_end_of_an_earlier_attempt() -> None:
    assert "seconds" not in cell(state="running")


def test_tasks_stand_in_the_order_of_the_rounds_and_others_before_or_after() -> None:
    from boxloop_airflow.rounds_page.matrix import _place

    tasks = ["take_in", "plan_rounds", "round.gate", "round.parse_annotations"]
    tasks += ["round.train", "round.predict_01", "round.predict_02", "round.predict"]
    tasks += ["round.merge"]
    tasks += ["report", "promote"]
    shuffled = sorted(tasks, key=lambda name: name[::-1])
    instances = [instance(name, 0 if "." in name else -1) for name in shuffled]
    assert [each.task_id for each in sorted(instances, key=_place)] == tasks


def test_a_round_has_a_cell_only_where_it_is_planned() -> None:
    from boxloop_airflow.rounds_page.matrix import build_rows, build_singles

    instances = [instance(index=-1), instance("plan_rounds", -1)]
    assert [row["cells"] for row in build_rows(instances, 0)] == [[]]
    rows = build_rows([instance(index=1)], 3)
    assert [each and each["state"] for each in rows[0]["cells"]] == [None, "success", None]
    assert [each["id"] for each in build_singles(instances)] == ["plan_rounds"]


def test_the_time_of_a_round_is_parted_into_training_prediction_people_and_the_rest() -> None:
    from boxloop_airflow.rounds_page.matrix import build_rows, time_rows

    instances = [
        instance("round.gate", start_date=0, end_date=1000),  # waits, and counts for nothing
        instance("round.train", scheduled_dttm=1000, start_date=1010, end_date=1110),
        instance("round.predict_01", scheduled_dttm=1110, start_date=1115, end_date=1135),
        instance("round.predict_02", scheduled_dttm=1110, start_date=1115, end_date=1140),
        instance("round.predict", scheduled_dttm=1140, start_date=1140, end_date=1145),
        instance(
            "round.match_labels", scheduled_dttm=1145, start_date=1150, end_date=1260
        )._replace(asked=START + timedelta(seconds=1155), answered=START + timedelta(seconds=1255)),
    ]
    rows = time_rows(build_rows(instances, 2), 2)
    assert rows == [
        {
            "round": 1,
            "whole": 250,  # from 1010 to 1260
            "train": 100,
            "predict": 30,
            "people": 100,
            "rest": 20,
            "queued": 25,
        }
    ]


def test_a_speed_of_zero_or_a_loss_that_is_no_number_do_no_harm() -> None:
    from boxloop_airflow.rounds_page.state import _number, _seconds_left

    told = {"step": 1, "steps": 2, "images_per_second": 0.0}
    assert _seconds_left("train", told, 4) is None
    assert _seconds_left("predict", {**told, "images_per_second": 0.5}, None) == 2
    assert _seconds_left("train", {"step": "x"}, 4) is None
    assert [_number(value) for value in (float("nan"), True, "1", None, 2)] == [None] * 4 + [2]
