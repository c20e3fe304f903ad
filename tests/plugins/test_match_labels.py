from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import TaskAwaitingInput

from boxloop import review, storage
from boxloop.artifacts import Run
from boxloop.experiment import experiment_yaml, read_experiment
from boxloop.ledger import UPSTREAM, run_once
from boxloop_airflow.match_labels import GO_ON, MatchLabelsOperator, review_link

MICRO = Path(__file__).parents[1] / "data" / "micro.yaml"
TI = SimpleNamespace(
    id="0199", dag_id="active_learning", run_id="manual__2026-11-23T01:00:00+00:00", map_index=1
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Airflow is told to ask people."""
    requests: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **request: requests.append(request))
    return requests


def judged(folder: Path, value: dict[str, Any]) -> MatchLabelsOperator:
    """Return the task of round 1, whose step has been done and has returned a value."""
    run = Run(str(folder))
    experiment = read_experiment(str(MICRO), {"oracle.by": "both", "review.hours": 1.5})
    storage.write_bytes(run.experiment, experiment_yaml(experiment))
    for task in UPSTREAM:
        said = value if task == "match_labels" else {}
        run_once(run, 1, task, lambda said=said: said, started=0.0)  # type: ignore[misc]
        if task == "match_labels":
            break
    spec = {"run_uri": run.uri, "round_number": 1}
    return MatchLabelsOperator(task_id="match_labels", spec=spec)


def execute(task: MatchLabelsOperator) -> Any:
    context = {"ti": TI, "task_instance": TI}
    return MatchLabelsOperator.execute.__wrapped__(task, context)  # type: ignore[attr-defined]


def answer(user: dict[str, str] | None) -> dict[str, Any]:
    return {
        "chosen_options": [GO_ON],
        "params_input": {},
        "responded_at": datetime(2026, 11, 23, tzinfo=UTC),
        "responded_by_user": user,
    }


@pytest.mark.parametrize("value", [{"adopted": 3}, {"adopted": 3, "review_items": 0}])
def test_it_does_not_wait_where_nobody_is_asked(
    tmp_path: Path, asked: list[dict[str, Any]], value: dict[str, Any]
) -> None:
    assert execute(judged(tmp_path, value)) == value
    assert asked == []


def test_it_waits_without_a_slot_for_the_hours_of_the_experiment(
    tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    with pytest.raises(TaskAwaitingInput) as parked:
        execute(judged(tmp_path, {"review_items": 12}))
    assert parked.value.timeout == timedelta(hours=1.5)
    assert parked.value.method_name == "execute_complete"
    (request,) = asked
    assert (request["options"], request["defaults"], request["params"]) == ([GO_ON], [GO_ON], {})
    assert request["subject"] == "Round 1: 12 images to review"


def test_the_request_links_to_the_review_page(tmp_path: Path, asked: list[dict[str, Any]]) -> None:
    with pytest.raises(TaskAwaitingInput):
        execute(judged(tmp_path, {"review_items": 1}))
    body = asked[0]["body"]
    page = "/dags/active_learning/runs/manual__2026-11-23T01%3A00%3A00%2B00%3A00/plugin/review"
    assert f"**1 image** of round 1 waits for you on the [review page]({page})" in body
    assert "after 1.5 h" in body


def test_the_link_is_below_the_path_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://host.example/airflow/")
    assert review_link("d", "r") == "/airflow/dags/d/runs/r/plugin/review"


def test_a_task_that_is_cleared_after_the_merge_does_not_wait_again(
    tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    task = judged(tmp_path, {"review_items": 2})
    storage.write_json(Run(str(tmp_path)).closed_review(1), {"decisions": [], "set_aside": {}})
    assert review.is_closed(Run(str(tmp_path)), 1)
    assert execute(task) == {"review_items": 2}
    assert asked == []


def test_a_task_that_is_retried_before_the_merge_asks_again(
    tmp_path: Path, asked: list[dict[str, Any]]
) -> None:
    task = judged(tmp_path, {"review_items": 2})
    for _ in range(2):
        with pytest.raises(TaskAwaitingInput):
            execute(task)
    assert asked[0] == asked[1]


@pytest.mark.parametrize("user", [{"id": "anna", "name": "anna"}, None])
def test_it_returns_the_value_of_its_step_after_an_answer_and_after_the_time(
    tmp_path: Path, user: dict[str, str] | None
) -> None:
    task = judged(tmp_path, {"review_items": 2})
    assert task.execute_complete({}, answer(user)) == {"review_items": 2}


def test_the_spec_of_a_mapped_group_reaches_it() -> None:
    assert "spec" in MatchLabelsOperator.template_fields
