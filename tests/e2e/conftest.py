import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG
from boxloop.local_airflow.server import PROJECT, AirflowServer

MICRO = "tests/data/micro.yaml"
KILLS, WORKERS = "kills", "workers"
SOON = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "25",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
}
"""Airflow's own time for a worker that was killed is minutes."""
TENSORBOARD = "http://tensorboard:6006"
Start = Callable[..., Run]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, bucket: str) -> Iterator[AirflowServer]:
    """One Airflow for all tests, in a home of its own; nothing of it is left in the end."""
    root = tmp_path_factory.mktemp("airflow")
    environment = {
        "BOXLOOP_ROOT": str(root / "runs"),
        "BOXLOOP_TENSORBOARD_URL": TENSORBOARD,
        **SOON,
    }
    dags = root / "dags"
    dags.mkdir()
    own = [Path(__file__).with_name(f"{name}.py") for name in (KILLS, WORKERS)]
    for path in (PROJECT / "dags" / f"{DAG}.py", *own):
        (dags / path.name).symlink_to(path)
    with AirflowServer(root / "home", port=0, environment=environment, dags=dags) as server:
        yield server
        started = server.processes()
    assert not [process for process in started if runs(process)]
    assert server.processes() == []


def runs(process: psutil.Process) -> bool:
    """Whether a process is more than an entry that its parent has yet to take note of."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="session")
def client(server: AirflowServer) -> Iterator[AirflowClient]:
    with server.client() as client:
        wait_until(lambda: client.has_dag(DAG), 600)
        client.unpause(DAG)
        yield client


@pytest.fixture(scope="session")
def start(client: AirflowClient) -> Start:
    """Start a run of the micro experiment; it ends as what `Run` describes."""

    def start(run_id: str, **params: Any) -> Run:
        client.trigger(DAG, run_id, {"experiment": MICRO, "experiment_id": run_id, **params})
        wait_until(lambda: instances(client, run_id).get(("plan_rounds", -1)) == "success", 600)
        return Run(client.xcom(DAG, run_id, "plan_rounds")[0]["run_uri"])

    return start


def wait_for_end(client: AirflowClient, run_id: str) -> str:
    """Wait until a run is over; return its state."""
    wait_until(lambda: client.run_state(DAG, run_id) in ("success", "failed"), 1800)
    return client.run_state(DAG, run_id)


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"it is not so after {seconds} s")
        time.sleep(1)


def instances(client: AirflowClient, run_id: str) -> Mapping[tuple[str, int], str]:
    """Return the state of each task instance, by task id and map index."""
    found = client.task_instances(DAG, run_id)
    return {(i["task_id"], i["map_index"]): i["state"] for i in found}


def digests(uri: str) -> dict[str, str]:
    """Return the sha256 of everything below a URI."""
    return {name: storage.digest(name) for name in storage.list_files(uri)}
