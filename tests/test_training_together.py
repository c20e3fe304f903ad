"""Two processes train one detector by MultiWorkerMirroredStrategy, on this machine's processors.

One minute and a half on two cores: three trainings of 30 steps and an export.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.child import step_command, task_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MICRO = "tests/data/micro.yaml"
STEPS, INTERVAL = 30, 10


class Trained(NamedTuple):
    """What became of a training."""

    run: Run
    codes: list[int]
    """Exit codes of the attempts."""
    output: str
    """Of the last attempt."""

    @property
    def losses(self) -> Mapping[int, float]:
        """Means of the loss since the number before, by step."""
        return dict(steps.task_value("train", self.run.uri, 1)["loss_curve"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def one(root: Path) -> Trained:
    return train(prepare(root, "one", "one_device"), 1)


@pytest.fixture(scope="module")
def two(root: Path) -> Trained:
    return train(prepare(root, "two", "multi_worker"), 2)


@pytest.fixture(scope="module")
def killed(root: Path) -> Trained:
    """A training whose second process is killed after a checkpoint, and the next attempt."""
    run = prepare(root, "killed", "multi_worker")
    first = start(run, 2)
    checkpoint = Path(run.checkpoints(1), "checkpoint")
    while not checkpoint.exists() and first.poll() is None:
        time.sleep(0.02)
    helper = max(psutil.Process(first.pid).children(), key=lambda each: each.create_time())
    os.kill(helper.pid, signal.SIGKILL)
    code = first.wait(timeout=120)  # an end, not a hang
    assert psutil.pid_exists(first.pid) is False
    again = train(run, 2)
    return again._replace(codes=[code, *again.codes])


def test_two_processes_train_one_detector(two: Trained) -> None:
    assert two.codes == [0]
    assert list(two.losses) == [10, 20, 30]
    assert two.losses[10] > two.losses[20] > two.losses[30]


def test_the_result_is_close_to_that_of_one_process_with_the_same_batch(
    one: Trained, two: Trained
) -> None:
    assert list(two.losses.values()) == pytest.approx(list(one.losses.values()), rel=0.15)


def test_the_chief_alone_writes(one: Trained, two: Trained) -> None:
    def names(trained: Trained) -> list[str]:
        found = storage.list_files(trained.run.round(1))
        return [uri.removeprefix(trained.run.uri) for uri in found if "events.out" not in uri]

    assert names(two) == names(one)
    events = Path(two.run.checkpoints(1), "train").glob("events.out*")
    assert len(list(events)) == 1


def test_a_killed_process_ends_the_training_and_the_next_attempt_goes_on(killed: Trained) -> None:
    assert killed.codes == [128 + signal.SIGKILL, 0]
    resumed = re.search(rf"Resuming at step (\d+) of {STEPS}", killed.output)
    assert resumed
    assert int(resumed[1]) in (INTERVAL, 2 * INTERVAL)
    assert "host 1: " in killed.output


def test_a_killed_training_ends_with_the_same_weights(two: Trained, killed: Trained) -> None:
    """But for BatchNorm's moving statistics: a checkpoint has the mean of the hosts'."""
    assert killed.losses == two.losses
    found, expected = weights(killed.run), weights(two.run)
    assert found.keys() == expected.keys() != set()
    for name, value in expected.items():
        if "/moving_" in name:
            assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
        else:
            assert (found[name] == value).all(), name


def test_a_bundle_is_made_of_it(two: Trained) -> None:
    subprocess.run(step_command("export", two.run.uri, 1), check=True, env=task_environment())
    assert storage.exists(f"{two.run.model(1)}/saved_model.pb")
    verified = steps.task_value("export", two.run.uri, 1)["verified"]
    assert {name: found["lost"] for name, found in verified.items()}["saved_model.pb"] == 0


def prepare(root: Path, name: str, strategy: str) -> Run:
    """Do what comes before training."""
    overrides: dict[str, Any] = {
        "rounds": 1,
        "train.steps": STEPS,
        "train.checkpoint_interval": INTERVAL,
    }
    overrides |= {"train.device.strategy": strategy, "train.warmup_steps": 5}
    (spec,) = steps.plan_rounds(MICRO, root=str(root), experiment_id=name, overrides=overrides)
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, **spec)
    return Run(spec["run_uri"])


def start(run: Run, processes: int) -> "subprocess.Popen[str]":
    command = step_command("train", run.uri, 1)
    if processes > 1:
        command = [sys.executable, "-m", "boxloop.together", str(processes), *command[1:]]
    with Path(run.uri, "log").open("w") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, text=True, env=task_environment()
        )


def train(run: Run, processes: int) -> Trained:
    code = start(run, processes).wait(timeout=900)
    return Trained(run, [code], Path(run.uri, "log").read_text())


def weights(run: Run) -> dict[str, Any]:
    """Return the numbers of a round's weights by their names."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(run.weights(1))
    found = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: value for name, value in found.items() if hasattr(value, "shape")}
