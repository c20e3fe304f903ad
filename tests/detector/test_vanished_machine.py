"""A machine that trains on gs:// may vanish, disk and all: another goes on from the bucket."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_bucket import FaultyBucket

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.child import step_command, task_environment
from boxloop.ledger import task_value

pytestmark = pytest.mark.slow
SETTINGS = {"train.steps": 30, "train.checkpoint_interval": 10, "train.warmup_steps": 2}


def prepare(root: str) -> Run:
    spec = steps.plan_rounds(
        "tests/data/micro.yaml", root=root, experiment_id="micro", overrides=SETTINGS
    )[0]
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, spec["run_uri"], 1)
    return Run(spec["run_uri"])


def start(run: Run, machine: Path) -> subprocess.Popen[str]:
    machine.mkdir()
    return subprocess.Popen(
        step_command("train", run.uri, 1),
        env={**task_environment(), "TMPDIR": str(machine), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def weights(run: Run) -> dict[str, Any]:
    uri = run.weights(1)
    return {found.removeprefix(uri): storage.digest(found) for found in storage.list_files(uri)}


def test_a_machine_that_vanished_amid_training_makes_no_difference(
    faulty: FaultyBucket, tmp_path: Path
) -> None:
    whole, run = prepare(str(tmp_path / "root")), prepare(f"{faulty.uri}/runs")
    with start(whole, tmp_path / "undisturbed") as trainer:
        assert trainer.wait() == 0 or pytest.fail(str(trainer.communicate()))
    newest = f"{run.checkpoints(1)}/checkpoint"
    with start(run, tmp_path / "first") as trainer:
        while not (storage.exists(newest) and b"ckpt-10" in storage.read_bytes(newest)):
            assert trainer.poll() is None
            time.sleep(0.05)
        os.killpg(trainer.pid, signal.SIGKILL)
    shutil.rmtree(tmp_path / "first")
    assert not storage.exists(run.marker(1, "train"))
    with start(run, tmp_path / "second") as trainer:
        output, _ = trainer.communicate()
    assert trainer.returncode == 0
    assert "Resuming at step" in output
    assert weights(run) == weights(whole)
    assert task_value("train", run.uri, 1) == task_value("train", whole.uri, 1)
