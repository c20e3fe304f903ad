"""Faults on the stack of docker-compose.yaml: one run meets them, one after the other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import httpx
import psutil
import pytest
from tests.deployment.client import TeamClient
from tests.deployment.conftest import PARAMS, RUN
from tests.deployment.stack import Stack
from tests.faults.compare import differences, outcome, untrue
from tests.faults.stage import is_boxloop, wait_until

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.local_airflow.demo import DAG

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(1800)]
DISTURBED = "disturbed"
AWAY = 5.0
"""Seconds for which the database and the queue are away."""
SECONDS = 600.0
"""For anything to come."""


def test_a_run_outlives_workers_database_and_queue(
    finished: str, stack: Stack, client: TeamClient, bucket: str
) -> None:
    run, undisturbed = (Run.of(f"{bucket}/runs", name) for name in (DISTURBED, RUN))
    stack.revive()
    client.trigger(DAG, DISTURBED, {**PARAMS, "experiment_id": DISTURBED})

    _wait(stack, lambda: storage.exists(f"{run.checkpoints(1)}/checkpoint"), "a checkpoint")
    _kill_worker(stack, "worker-gpu", run, "train")
    _wait(stack, lambda: storage.exists(run.export_lease(1)), "export of round 1")
    _kill_worker(stack, "worker-cpu", run, "export")
    _wait(stack, lambda: bool(_working(stack, run, "predict", 1)), "predict of round 1")
    stack.crash_database()
    time.sleep(AWAY)
    _wait(stack, lambda: bool(_working(stack, run, "export", 2)), "export of round 2")
    stack.kill("redis")
    time.sleep(AWAY)

    _wait(stack, lambda: _state(client) in ("success", "failed"), "the end of the run")
    assert _state(client) == "success", client.task_instances(DAG, DISTURBED)
    verified = stack.run("worker-cpu", "boxloop", "verify", run.uri)
    assert verified.returncode == 0, verified.stdout
    assert untrue(run, rounds=2) == []
    assert differences(outcome(run), outcome(undisturbed)) == []
    wait_until(lambda: not any(map(is_boxloop, stack.processes())), 30, "no process of a task")


def _kill_worker(stack: Stack, name: str, run: Run, task: str) -> None:
    assert _working(stack, run, task, 1), f"{task} is over already"
    stack.kill(name)
    assert not _working(stack, run, task, 1)


def _working(stack: Stack, run: Run, task: str, number: int) -> list[psutil.Process]:
    """Return the processes that do a task of a round."""
    wanted = f"boxloop step {task} --run {run.uri} --round {number}"
    return [p for p in stack.processes() if wanted in _command(p)]


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def _state(client: TeamClient) -> str:
    """Return the state of the run, "unknown" while Airflow does not answer."""
    with contextlib.suppress(RuntimeError, httpx.HTTPError):
        return client.run_state(DAG, DISTURBED)
    return "unknown"


def _wait(stack: Stack, is_so: Callable[[], bool], what: str) -> None:
    """Wait for something; services that end meanwhile are started again."""

    def look() -> bool:
        stack.revive()
        return is_so()

    wait_until(look, SECONDS, what, every=0.1)
