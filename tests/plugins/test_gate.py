import asyncio
import json
import pkgutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from boxloop import storage
from boxloop.artifacts import Run
from boxloop_airflow.gate import (
    FAIL,
    GO,
    POLL_SECONDS,
    SKIP,
    STEP_ASIDE,
    WAIT,
    PreviousRoundTrigger,
    RoundGate,
    previous_round,
)

WHERE = {
    "dag_id": "active_learning",
    "run_id": "manual",
    "gate_id": "round.gate",
    "last_id": "round.merge",
    "index": 1,
}


def write_summary(run: Run, number: int, *, parent: str | None, pool: int = 9) -> str:
    summary = {"round": number, "parent_digest": parent, "pool": pool}
    storage.write_json(run.summary(number), summary)
    return storage.digest(run.summary(number))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of two finished rounds that fit together."""
    run = Run(str(tmp_path))
    model = {"name": "tiny", "experiment": "x", "task": "RetinaNet", "input_size": [64, 64]}
    storage.write_json(run.experiment, {"name": "a", "model": model, "data": {"uri": "/data"}})
    write_summary(run, 2, parent=write_summary(run, 1, parent=None))
    return run


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """States of the task instances of map index 1, which is round 2; the calls are checked."""
    states: dict[str, str | None] = {"round.gate_1": "success", "round.merge_1": None}

    def get_task_states(**arguments: Any) -> dict[str, dict[str, str | None]]:
        assert arguments == {
            "dag_id": "active_learning",
            "task_ids": ["round.gate", "round.merge"],
            "map_index": 1,
            "run_ids": ["manual"],
        }
        return {"manual": {name: state for name, state in states.items() if state}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))
    return states


def gate(run: Run, number: int = 3, **arguments: Any) -> RoundGate:
    spec = {"run_uri": run.uri, "round_number": number}
    return RoundGate(task_id="gate", spec=spec, last_task_id="round.merge", **arguments)


def execute(operator: RoundGate) -> Any:
    ti = SimpleNamespace(dag_id="active_learning", run_id="manual", task_id="round.gate")
    return RoundGate.execute.__wrapped__(operator, {"ti": ti})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("gate_state", "last_state", "verdict"),
    [
        ("success", "success", GO),
        ("success", "skipped", SKIP),
        ("skipped", None, SKIP),
        ("success", "failed", FAIL),
        ("success", "upstream_failed", FAIL),
        ("success", "removed", FAIL),
        ("failed", None, FAIL),
        ("success", None, WAIT),
        ("success", "running", WAIT),
        ("success", "up_for_retry", WAIT),
        (None, None, STEP_ASIDE),
        ("scheduled", None, STEP_ASIDE),
        ("up_for_retry", None, STEP_ASIDE),
    ],
)
def test_verdict(gate_state: str | None, last_state: str | None, verdict: str) -> None:
    assert previous_round(gate_state, last_state) == verdict


def test_only_one_gate_of_a_run_looks_at_a_time(run: Run) -> None:
    assert gate(run).max_active_tis_per_dagrun == 1


def test_the_first_round_starts_at_once(run: Run) -> None:
    assert execute(gate(run, 1)) == {"run_uri": run.uri, "round_number": 1}


def test_no_wait_where_the_round_before_is_done(run: Run, airflow: dict[str, str | None]) -> None:
    airflow["round.merge_1"] = "success"
    assert execute(gate(run)) == {"run_uri": run.uri, "round_number": 3}


def test_it_defers_while_the_round_before_runs(run: Run, airflow: dict[str, str | None]) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        execute(gate(run))
    trigger = deferred.value.trigger
    assert isinstance(trigger, PreviousRoundTrigger)
    assert trigger.where == WHERE
    assert trigger.poll_seconds >= 5  # sooner, Airflow 3.3 takes the answer for a stray one
    assert deferred.value.method_name == "resume"


def test_it_reschedules_where_it_may_not_defer(run: Run, airflow: dict[str, str | None]) -> None:
    with pytest.raises(AirflowRescheduleException):
        execute(gate(run, deferrable=False))


def test_a_gate_before_its_turn_steps_aside(run: Run, airflow: dict[str, str | None]) -> None:
    airflow["round.gate_1"] = "up_for_retry"  # it needs the place that this one holds
    with pytest.raises(AirflowRescheduleException):
        execute(gate(run))


@pytest.mark.parametrize(("value", "deferrable"), [(None, True), ("1", True), ("0", False)])
def test_deferring_is_a_setting(
    run: Run, monkeypatch: pytest.MonkeyPatch, value: str | None, deferrable: bool
) -> None:
    monkeypatch.delenv("BOXLOOP_DEFER_GATE", raising=False)
    if value is not None:
        monkeypatch.setenv("BOXLOOP_DEFER_GATE", value)
    assert gate(run).deferrable is deferrable


@pytest.mark.parametrize("last_state", ["failed", "upstream_failed", "removed"])
def test_it_fails_for_good_after_a_failed_round(
    run: Run, airflow: dict[str, str | None], last_state: str
) -> None:
    airflow["round.merge_1"] = last_state
    with pytest.raises(AirflowFailException, match="round 2 failed"):
        execute(gate(run))


def test_it_skips_after_a_skipped_round(run: Run, airflow: dict[str, str | None]) -> None:
    airflow["round.merge_1"] = "skipped"
    with pytest.raises(AirflowSkipException, match="round 2 was skipped"):
        execute(gate(run))


def test_it_skips_where_the_experiment_has_stopped(run: Run) -> None:
    write_summary(run, 2, parent=storage.digest(run.summary(1)), pool=0)
    with pytest.raises(AirflowSkipException, match="stopped early: every image of the pool has"):
        gate(run).resume({}, {"verdict": GO})


def test_success_in_airflow_does_not_stand_in_for_the_data(run: Run) -> None:
    Path(run.summary(2)).unlink()
    with pytest.raises(AirflowFailException, match="round 2 has no summary"):
        gate(run).resume({}, {"verdict": GO})


def test_it_fails_where_the_rounds_do_not_follow_from_one_another(run: Run) -> None:
    write_summary(run, 1, parent=None, pool=8)
    with pytest.raises(AirflowFailException, match="built on another round 1"):
        gate(run).resume({}, {"verdict": GO})


def test_the_spec_of_a_mapped_group_reaches_it() -> None:
    assert "spec" in RoundGate.template_fields


def test_the_trigger_survives_the_way_to_the_triggerer() -> None:
    path, arguments = PreviousRoundTrigger(7.5, **WHERE).serialize()
    trigger = pkgutil.resolve_name(path)(**json.loads(json.dumps(arguments)))
    assert isinstance(trigger, PreviousRoundTrigger)
    assert (trigger.poll_seconds, trigger.where) == (7.5, WHERE)


def test_the_trigger_sleeps_first_and_fires_when_there_is_a_verdict(
    airflow: dict[str, str | None],
) -> None:
    async def first_event() -> Any:
        asyncio.get_running_loop().call_later(0.25, airflow.update, {"round.merge_1": "success"})
        async for event in PreviousRoundTrigger(0.1, **WHERE).run():
            return event.payload

    started = time.monotonic()
    assert asyncio.run(first_event()) == {"verdict": GO}
    assert time.monotonic() - started >= 0.25
    assert POLL_SECONDS >= 5
