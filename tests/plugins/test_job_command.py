"""Real training in a job: as a container runs it, and until nobody waits for it any more."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boxloop import heartbeat, steps
from boxloop.artifacts import Run
from boxloop.child import STOPPED, parse_progress
from boxloop_airflow.launchers import FAILED, Job, Status
from boxloop_airflow.launchers.kubernetes import KubernetesOptions, pod
from boxloop_airflow.launchers.local import LocalLauncher
from boxloop_airflow.train_detector import TrainDetectorOperator

pytestmark = [
    pytest.mark.slow,
    # google-cloud-storage asks for a package that only its gRPC transport needs
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
SYSTEM = ("PATH", "PYTHONPATH", "HOME", "STORAGE_EMULATOR_HOST", "NO_PROXY")
TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 0, "try_number": 1}


def prepare(root: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """Do what comes before training; return the round's spec."""
    (spec,) = steps.plan_rounds(
        "tests/data/micro.yaml", root=root, experiment_id="micro", overrides=overrides
    )
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, **spec)
    return spec


def build_job(spec: dict[str, Any]) -> Job:
    return TrainDetectorOperator(task_id="train", spec=spec)._build_job(SimpleNamespace(**TASK))


def test_a_pod_trains_a_round_of_a_run_in_a_bucket(bucket: str) -> None:
    spec = prepare(f"{bucket}/pod", {"rounds": 1})
    container = pod(build_job(spec), KubernetesOptions(image="trainer"))["spec"]["containers"][0]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    python, *arguments = container["args"]
    assert python == "python"
    with heartbeat.beating(environment[heartbeat.URI]):
        ended = subprocess.run(
            [sys.executable, *arguments],
            env={**{name: os.environ.get(name, "") for name in SYSTEM}, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout
    assert steps.task_value("train", **spec)["steps"] == 2
    progress = [found for line in ended.stdout.splitlines() if (found := parse_progress(line))]
    assert progress[-1]["step"] == 2


def test_a_trainer_that_nobody_waits_for_saves_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(heartbeat.ORPHAN_SECONDS, "3")
    spec = prepare(str(tmp_path), {"rounds": 1, "train.steps": 1000})
    launcher, job = LocalLauncher({}), build_job(spec)
    reached: list[int] = []
    with contextlib.ExitStack() as somebody_waits:
        somebody_waits.enter_context(heartbeat.beating(job.environment[heartbeat.URI], seconds=0.5))
        job_id = launcher.submit(job)

        def go_away(line: str, offset: int) -> None:
            if progress := parse_progress(line):
                reached.append(progress["step"])
                somebody_waits.close()

        launcher.follow(job_id, None, go_away)
    assert launcher.status(job_id) == Status(FAILED, STOPPED, "ended by signal 15")
    (kept,) = Path(Run(spec["run_uri"]).checkpoints(1)).glob("ckpt-*.index")
    assert kept.stem == f"ckpt-{reached[-1]}"
    assert 0 < reached[-1] < 1000
