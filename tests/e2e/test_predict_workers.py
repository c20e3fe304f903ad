"""Two workers detect in a pool, one is killed -9 in the middle; the round ends as if it were not.

A minute on two cores.
"""

import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.conftest import MICRO, WORKERS, digests, wait_until

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.child import step_command
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.server import AirflowServer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    # google-cloud-storage asks for a package that only its gRPC transport needs
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
PARTS = 60
OVERRIDES = {"rounds": 1, "data.drawn.pool": 600, "predict.part_size": 10}


@pytest.fixture(scope="module")
def killed(
    client: AirflowClient, server: AirflowServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, int]:
    """The run after its end, and how many parts were there when its first worker was killed."""
    root = tmp_path_factory.mktemp("workers")
    plan: dict[str, Any] = {"experiment_uri": str(Path(MICRO).resolve()), "root": str(root)}
    plan |= {"experiment_id": "killed", "overrides": OVERRIDES}
    wait_until(lambda: client.has_dag(WORKERS), 600)
    client.unpause(WORKERS)
    client.trigger(WORKERS, "killed", {"plan": plan, "resume": "auto"})
    run = Run.of(str(root), "killed")
    worker = find_worker(client, server)
    while not signs(run):
        time.sleep(0.005)
    worker.kill()
    psutil.wait_procs([worker], timeout=60)
    done = len(signs(run))
    over = ("success", "failed")
    wait_until(lambda: client.run_state(WORKERS, "killed") in over, 900)
    return run, done


def test_the_round_goes_on_without_the_worker(killed: Any, client: AirflowClient) -> None:
    run, done = killed
    assert 1 <= done < PARTS / 2
    found = states(client)
    assert found.pop("round.predict_01") == "failed"
    assert set(found.values()) == {"success"}
    assert {"round.predict_02", "round.predict", "round.merge", "report"} <= found.keys()
    assert client.run_state(WORKERS, "killed") == "success"
    assert steps.task_value("predict", run.uri, 1)["images"] == 600


def test_the_other_worker_took_its_parts(killed: Any) -> None:
    run, done = killed
    value = steps.task_value("predict", run.uri, 1, worker=2, workers=2)
    assert value["parts"] > PARTS / 2
    assert value["parts"] >= PARTS - done - 2  # all that the dead one did not come to
    assert not storage.exists(run.marker(1, "predict-00001-of-00002"))


def test_one_task_alone_makes_the_same_files(killed: Any) -> None:
    run, _ = killed
    folder = f"{run.round(1)}/detections"
    made, value = digests(folder), steps.task_value("predict", run.uri, 1)
    storage.delete_folder(folder)
    storage.delete(run.marker(1, "predict"))
    subprocess.run(step_command("predict", run.uri, 1), check=True, capture_output=True)
    assert digests(folder) == made
    assert len(made) == 2 * PARTS
    assert steps.task_value("predict", run.uri, 1) == value


def find_worker(client: AirflowClient, server: AirflowServer) -> psutil.Process:
    """Return the process that is the first worker, once there is one."""
    end = time.monotonic() + 900
    while time.monotonic() < end and "failed" not in states(client).values():
        for _ in range(10):
            for process in server.processes():
                if is_first_worker(process):
                    return process
            time.sleep(0.1)
    pytest.fail(f"no worker has come up: {states(client)}")


def is_first_worker(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    is_step = command[1:5] == ["-m", "boxloop", "step", "predict"]
    return is_step and command[-4:] == ["--worker", "1", "--workers", "2"]


def signs(run: Run) -> list[Path]:
    """Return the signs of parts that the first worker begins with: those of odd numbers."""
    found = Path(run.round(1), "detections").glob("*.unreadable.json")
    return [path for path in found if int(path.name.split("-")[1]) % 2 == 1]


def states(client: AirflowClient) -> dict[str, Any]:
    return {each["task_id"]: each["state"] for each in client.task_instances(WORKERS, "killed")}
