"""What a container runs, run here: the command and the environment of a rendered pod."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from boxloop import heartbeat, steps
from boxloop.child import parse_progress
from boxloop_airflow.launchers.kubernetes import KubernetesOptions, pod
from boxloop_airflow.train_detector import TrainDetectorOperator

pytestmark = [
    pytest.mark.slow,
    # google-cloud-storage asks for a package that only its gRPC transport needs
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
SYSTEM = ("PATH", "PYTHONPATH", "HOME", "STORAGE_EMULATOR_HOST", "NO_PROXY")
TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 0, "try_number": 1}


def test_a_pod_trains_a_round_of_a_run_in_a_bucket(bucket: str) -> None:
    root = f"{bucket}/pod"
    (spec,) = steps.plan_rounds(
        "tests/data/micro.yaml", root=root, experiment_id="micro", overrides={"rounds": 1}
    )
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, **spec)
    operator = TrainDetectorOperator(task_id="train", spec=spec)
    job = operator._build_job(SimpleNamespace(**TASK))
    container = pod(job, KubernetesOptions(image="trainer"))["spec"]["containers"][0]
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
