"""A real Airflow on which faults happen, and one run after another on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from boxloop.artifacts import Run
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG
from boxloop.local_airflow.server import PROJECT, AirflowServer

HERE = Path(__file__).parent
AIRFLOW = str(Path(sys.executable).with_name("airflow"))
MICRO = "tests/data/micro.yaml"
SETTINGS = "train.steps=4\ntrain.checkpoint_interval=2"
"""Over those of the micro experiment: a checkpoint half-way."""
SOON = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "25",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
}
"""Airflow's own times for what was killed are minutes."""
TIMEOUT = 1500.0  # seconds for one run, all its faults and retries included


class Stage:
    """An Airflow whose processes come to know of the faults in `control`.

    Args:
        folder: for all that it writes.
        environment: variables for Airflow and its tasks.
        root: the artifact root; by default a folder in `folder`.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, root: str | None = None
    ) -> None:
        self.control = folder / "control"
        self.control.mkdir(parents=True)
        self.root = root or str(folder / "runs")
        dags = folder / "dags"
        dags.mkdir()
        (dags / f"{DAG}.py").symlink_to(PROJECT / "dags" / f"{DAG}.py")
        path = os.pathsep.join(filter(None, [str(HERE / "inject"), os.environ.get("PYTHONPATH")]))
        ours = {
            "PYTHONPATH": path,
            "BOXLOOP_FAULTS": str(self.control),
            "BOXLOOP_ROOT": self.root,
            **SOON,
        }
        self.environment = {**ours, **(environment or {})}
        self.server = AirflowServer(
            folder / "home", port=0, environment=self.environment, dags=dags
        )
        self.client: AirflowClient
        self.started: list[subprocess.Popen[bytes]] = []
        """Parts of Airflow that were started again, one by one."""

    @contextmanager
    def open(self) -> Iterator[Stage]:
        """Start Airflow, and end all of it."""
        with self.server:
            self.connect()
            wait_until(lambda: self.client.has_dag(DAG), 300, "the DAG is there")
            self.client.unpause(DAG)
            try:
                yield self
            finally:
                self.client.close()
        for part in self.started:  # they have ended with Airflow
            part.wait(60)

    def connect(self) -> None:
        """Talk to the server as it is now: started again, it may listen elsewhere."""
        self.client = self.server.client()

    def plan(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Make faults happen from now on, and forget those of before."""
        for path in self.control.iterdir():
            path.unlink()
        (self.control / "plan.json").write_text(json.dumps(list(faults)))

    def fired(self, fault_id: str) -> bool:
        """Whether a fault has happened."""
        return (self.control / f"fired-{fault_id}").exists()

    def trail(self) -> list[dict[str, Any]]:
        """Return the points that processes have come to, in order."""
        path = self.control / "trail.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def wait_for(self, task: str, round_number: int, point: str, seconds: float = 600) -> int:
        """Wait until a process has come to a point; return its number."""
        wanted = {"task": task, "round": round_number, "point": point}

        def found() -> list[int]:
            return [line["pid"] for line in self.trail() if wanted.items() <= line.items()]

        what = f"{task} of round {round_number}: {point}"
        wait_until(lambda: bool(found()), seconds, what, every=0.05)
        return found()[-1]

    @contextmanager
    def stopped_at(self, task: str, round_number: int, point: str) -> Iterator[None]:
        """Stop the process that comes to a point, lest it be done before something happens."""
        pid = self.wait_for(task, round_number, point)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def start_again(self) -> None:
        """Start Airflow after it was stopped; it may listen elsewhere then."""
        self.client.close()
        self.server.start()
        self.connect()

    def trigger(
        self, run_id: str, *, rounds: int = 1, root: str = "", experiment_id: str = ""
    ) -> Run:
        """Start a run, below another artifact root or with another run's experiment id if asked."""
        params = {
            "experiment": MICRO,
            "experiment_id": experiment_id or run_id,
            "settings": SETTINGS,
            "artifact_root": root or self.root,
            "rounds": rounds,
        }
        self.client.trigger(DAG, run_id, params)
        return Run.of(root or self.root, experiment_id or run_id)

    def state(self, run_id: str) -> str:
        """Return the state of a run, unknown while Airflow does not answer."""
        try:
            return self.client.run_state(DAG, run_id)
        except Exception:  # away, or starting: faults do that
            return "unknown"

    def finish(self, run_id: str, seconds: float = TIMEOUT) -> str:
        """Wait until a run is over; return its state."""
        wait_until(lambda: self.state(run_id) in ("success", "failed"), seconds, f"{run_id} ends")
        return self.state(run_id)

    def instance(self, run_id: str, task_id: str, index: int = 0) -> Mapping[str, Any]:
        """Return what Airflow says of a task instance."""
        found = self.client.task_instances(DAG, run_id)
        return next(i for i in found if (i["task_id"], i["map_index"]) == (task_id, index))

    def workers(self) -> list[psutil.Process]:
        """Return the processes of Boxloop's own tasks that run now."""
        return [p for p in self.server.processes() if is_boxloop(p)]


def is_boxloop(process: psutil.Process) -> bool:
    """Whether a process does a task of a round."""
    try:
        command, status = process.cmdline(), process.status()
    except psutil.Error:
        return False
    return status != psutil.STATUS_ZOMBIE and "boxloop" in command and "step" in command


def wait_until(is_so: Callable[[], bool], seconds: float, what: str, *, every: float = 0.5) -> None:
    """Wait for something.

    Raises:
        TimeoutError: if it does not come.
    """
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {seconds:.0f} s: {what}")
        time.sleep(every)
