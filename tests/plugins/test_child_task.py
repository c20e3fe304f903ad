import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from tests.plugins.conftest import Store

from boxloop import storage
from boxloop.artifacts import Run
from boxloop_airflow import child_task
from boxloop_airflow.child_task import ChildTaskOperator
from boxloop_airflow.progress import Display

VALUE = {"checkpoint_uri": "gs://bucket/checkpoint"}


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, Any]:
    """Round 2 of a run in which all tasks have finished."""
    run = Run(str(tmp_path))
    for name in ("evaluate", "predict-00001-of-00003"):
        marker = {"fingerprint": "", "value": {**VALUE, "name": name}}
        storage.write_json(run.marker(2, name), marker)
    return {"run_uri": run.uri, "round_number": 2}


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the child process run a script instead of the task; the command is kept."""

    def use(script: str) -> list[Any]:
        commands: list[Any] = []

        def step_command(*arguments: Any) -> list[str]:
            commands.append(arguments)
            return [sys.executable, "-c", script]

        monkeypatch.setattr(child_task, "step_command", step_command)
        return commands

    return use


def execute(operator: ChildTaskOperator, **context: Any) -> Any:
    return type(operator).execute.__wrapped__(operator, context)  # type: ignore[attr-defined]


def test_it_returns_what_the_task_left_in_its_marker(spec: dict[str, Any], child: Any) -> None:
    commands = child("pass")
    operator = ChildTaskOperator(task_id="t", step="evaluate", spec=spec)
    assert execute(operator) == {**VALUE, "name": "evaluate"}
    assert commands == [("evaluate", spec["run_uri"], 2, 0, 1)]


def test_a_worker_is_a_task_of_its_own(spec: dict[str, Any], child: Any) -> None:
    commands = child("pass")
    operator = ChildTaskOperator(task_id="p", step="predict", spec=spec, worker=1, workers=3)
    assert execute(operator)["name"] == "predict-00001-of-00003"
    assert commands == [("predict", spec["run_uri"], 2, 1, 3)]


def test_the_spec_of_a_mapped_group_reaches_it() -> None:
    assert "spec" in ChildTaskOperator.template_fields


def test_lines_of_the_child_go_to_the_log_but_progress_does_not(
    spec: dict[str, Any], child: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    child("print('loss is 0.5'); print('@progress {\"step\": 1, \"steps\": 2}')")
    execute(ChildTaskOperator(task_id="t", step="evaluate", spec=spec))
    log = capsys.readouterr().out.splitlines()[1:]  # without the line that names the command
    assert any("loss is 0.5" in line for line in log)
    assert not any("@progress" in line for line in log)


def test_progress_is_stored_once_a_second_and_at_the_end(spec: dict[str, Any], child: Any) -> None:
    child('for i in range(1000): print(\'@progress {"step": %d, "steps": 1000}\' % (i + 1))')
    store = Store()
    started = time.monotonic()
    execute(ChildTaskOperator(task_id="t", step="evaluate", spec=spec), task_state_store=store)
    assert store["progress"] == {"step": 1000, "steps": 1000}
    assert 2 <= store.writes <= 2 + time.monotonic() - started


def test_progress_of_an_earlier_attempt_is_not_shown_of_a_new_one(
    spec: dict[str, Any], child: Any
) -> None:
    child("print('no progress yet')")
    store = Store(progress={"step": 9, "steps": 10})
    execute(ChildTaskOperator(task_id="t", step="evaluate", spec=spec), task_state_store=store)
    assert "progress" not in store


def test_progress_that_cannot_be_stored_does_not_end_the_task(
    spec: dict[str, Any], child: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    child("print('@progress {\"loss\": NaN}')")
    execute(ChildTaskOperator(task_id="t", step="evaluate", spec=spec), task_state_store=Store())
    assert "Progress could not be shown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("raise SystemExit(2)", AirflowFailException, "cannot use its input"),
        ("raise SystemExit(7)", RuntimeError, "evaluate of round 2 ended with exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", RuntimeError, "signal 9"),
    ],
    ids=["wrong input is not tried again", "failure", "killed"],
)
def test_failure_says_what_happened(
    spec: dict[str, Any], child: Any, script: str, error: type[Exception], message: str
) -> None:
    child(script)
    with pytest.raises(error, match=message):
        execute(ChildTaskOperator(task_id="t", step="evaluate", spec=spec))


def test_a_killed_task_ends_its_child_without_waiting_for_it(
    spec: dict[str, Any], child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)"
    )
    operator = ChildTaskOperator(task_id="t", step="evaluate", spec=spec)
    took: list[float] = []

    def kill() -> None:
        started = time.monotonic()
        operator.on_kill()
        took.append(time.monotonic() - started)

    killer = threading.Thread(target=kill)
    monkeypatch.setattr(Display, "__call__", lambda *_: killer.start())  # the child is up
    with pytest.raises(RuntimeError, match="signal 9"):
        execute(operator)
    killer.join()
    assert took[0] < 30  # about 4, of the child's 60


def test_on_kill_before_the_child_runs_does_nothing(spec: dict[str, Any]) -> None:
    operator = ChildTaskOperator(task_id="t", step="evaluate", spec=spec)
    operator.on_kill()
    assert operator._child is None
