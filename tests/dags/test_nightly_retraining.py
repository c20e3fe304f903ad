from typing import Any

import pytest
from tests.dags.parsing import parse

NAME = "nightly_retraining"


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    return parse(NAME)


def test_a_night_takes_in_trains_and_promotes(parsed: dict[str, Any]) -> None:
    edges = [tuple(edge) for edge in parsed["edges"]]
    outside = {(a, b) for a, b in edges if not (a.startswith("round.") and b.startswith("round."))}
    assert ("take_in", "plan_rounds") in outside
    assert ("plan_rounds", "round.gate") in outside
    assert ("round.merge", "report") in outside
    assert ("report", "promote") in outside
    assert not [b for a, b in outside if a == "promote"]


def test_a_skipped_night_skips_all_and_rounds_that_stop_early_do_not(
    parsed: dict[str, Any],
) -> None:
    report = parsed["rules"].pop("report")
    assert report == "none_failed_min_one_success"
    assert set(parsed["rules"].values()) == {"all_success"}


def test_it_begins_at_two_or_when_labels_arrive(parsed: dict[str, Any]) -> None:
    assert parsed["timetable"] == "AssetOrTimeSchedule"
    assert (parsed["cron"], parsed["assets"]) == ("0 2 * * *", ["boxloop/labels"])
    assert (parsed["max_active_runs"], parsed["catchup"]) == (1, False)


def test_schedule_and_deadline_are_settings() -> None:
    other = parse(NAME, BOXLOOP_NIGHTLY_SCHEDULE="*/5 * * * *", BOXLOOP_NIGHTLY_HOURS="1.5")
    assert (other["cron"], other["hours"]) == ("*/5 * * * *", [1.5])


def test_the_clock_may_be_switched_off() -> None:
    other = parse(NAME, BOXLOOP_NIGHTLY_SCHEDULE="")
    assert (other["cron"], other["assets"]) == (None, ["boxloop/labels"])


def test_every_task_tells_of_its_failure_and_is_tried_again(parsed: dict[str, Any]) -> None:
    assert sorted(parsed["told"]) == parsed["tasks"]
    assert min(parsed["retries"].values()) >= 2


def test_every_param_is_explained(parsed: dict[str, Any]) -> None:
    for name, param in parsed["params"].items():
        assert len(param["description"]) > 40, name
        assert {"type", "title", "section"} <= set(param["schema"]), name


def test_a_night_by_the_clock_needs_nothing_filled_in(parsed: dict[str, Any]) -> None:
    values = {name: param["value"] for name, param in parsed["params"].items()}
    assert values.pop("config") == "configs/nightly.yaml"
    assert (values.pop("resume"), values.pop("always")) == ("auto", False)
    assert set(values.values()) == {None}


def test_parsing_is_light(parsed: dict[str, Any]) -> None:
    assert parsed["heavy"] == []
    assert parsed["cpu_seconds"] < 10


def test_it_is_documented(parsed: dict[str, Any]) -> None:
    assert "boxloop champion rollback" in parsed["doc"]
