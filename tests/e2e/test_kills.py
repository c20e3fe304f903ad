"""Training survives the death of its process, of its task and of its task's worker.

Ten trainings of one experiment run on a real scheduler, and all but one are killed, each in its
own way: while the trainer is starting, or when it has kept its third or fifth checkpoint of six.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from tests.e2e.conftest import KILLS, MICRO, TENSORBOARD, digests, wait_until

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.local_airflow.client import AirflowClient

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    # google-cloud-storage asks for a package that only its gRPC transport needs
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
STEPS, INTERVAL = 60, 10
TRAINER, TASK, WORKER = "trainer", "task", "worker"
POINTS = {"early": 0, "middle": 30, "late": 50}
KILLED = [(kind, point) for kind in (WORKER, TRAINER, TASK) for point in reversed(POINTS)]
"""In the order of their start: the retry of the last one need wait for nobody's slot."""
UNDISTURBED = "undisturbed"
RUN_ID = "kills"
LAUNCHED = re.compile("Launching boxloop-")
RESUMED = re.compile(r"Resuming at step (\d+)")
REACHED = re.compile(r"train \| step: +(\d+)")


class Training(NamedTuple):
    """What became of a training."""

    run: Run
    tries: int
    trainers: int
    """How many were launched."""
    resumed: int
    """The step at which the last one went on."""
    reached: int
    """The last step that the log tells of before that."""
    started: datetime
    """The last attempt."""
    link: str | None
    """To TensorBoard, as the page showed it before the kill."""


@pytest.fixture(scope="module")
def trainings(
    client: AirflowClient, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Training]:
    """Every training, after its kill and its end."""
    names = [UNDISTURBED, *("-".join(each) for each in KILLED)]
    root = tmp_path_factory.mktemp("kills")
    specs = [prepare(root, name) for name in names]
    wait_until(lambda: client.has_dag(KILLS), 600)
    client.unpause(KILLS)
    client.trigger(KILLS, RUN_ID, {"specs": specs})
    links: dict[int, str | None] = {}
    with stopping(specs) as stopped:
        for _ in poll(client, 900):
            for index in stopped.keys() - links.keys():
                links[index] = tensorboard_link(client, index)
                kill(client, index, stopped[index])
    assert len(links) == len(KILLED)
    assert client.run_state(KILLS, RUN_ID) == "success"
    found = {i["map_index"]: i for i in client.task_instances(KILLS, RUN_ID)}
    return {
        name: outcome(client, Run(specs[i]["run_uri"]), found[i], links.get(i))
        for i, name in enumerate(names)
    }


@pytest.mark.parametrize(("kind", "point"), KILLED)
def test_a_killed_training_ends_at_the_same_step(
    trainings: Mapping[str, Training], kind: str, point: str
) -> None:
    training = trainings[f"{kind}-{point}"]
    assert training.tries == 2
    assert steps.task_value("train", training.run.uri, 1)["steps"] == STEPS
    assert names(training.run) == names(trainings[UNDISTURBED].run)


@pytest.mark.parametrize("point", POINTS)
def test_a_new_trainer_repeats_one_interval_of_checkpoints_at_the_most(
    trainings: Mapping[str, Training], point: str
) -> None:
    training = trainings[f"{TRAINER}-{point}"]
    assert training.trainers == 2
    assert training.resumed >= POINTS[point] - INTERVAL
    assert training.reached - training.resumed <= INTERVAL


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", [TASK, WORKER])
def test_a_trainer_whose_task_died_goes_on_and_is_found_again(
    trainings: Mapping[str, Training], kind: str, point: str
) -> None:
    training = trainings[f"{kind}-{point}"]
    assert (training.trainers, training.resumed) == (1, 0)


def test_a_trainer_is_found_again_while_it_trains(trainings: Mapping[str, Training]) -> None:
    training = trainings[f"{TASK}-early"]
    timing = storage.read_json(training.run.timing(1, "train"))
    assert training.started.timestamp() < timing["started"] + timing["seconds"]


def test_the_link_to_tensorboard_is_there_while_training(
    trainings: Mapping[str, Training],
) -> None:
    links = {name: training.link for name, training in trainings.items() if name != UNDISTURBED}
    assert set(map(bool, links.values())) == {True}
    assert str(links["trainer-late"]).startswith(f"{TENSORBOARD}/?runFilter=")


@pytest.mark.parametrize(("kind", "point"), KILLED)
def test_a_killed_training_ends_with_the_same_weights(
    trainings: Mapping[str, Training], kind: str, point: str
) -> None:
    expected, found = (weights(trainings[n].run) for n in (UNDISTURBED, f"{kind}-{point}"))
    assert found == expected
    assert found


def prepare(root: Path, name: str) -> dict[str, Any]:
    """Do what comes before training; return the round's spec."""
    overrides = {
        "train.steps": STEPS,
        "train.checkpoint_interval": INTERVAL,
        "rounds": 1,
    }
    (spec,) = steps.plan_rounds(MICRO, root=str(root), experiment_id=name, overrides=overrides)
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, **spec)
    return spec


def poll(client: AirflowClient, seconds: float) -> Iterator[None]:
    """Give a turn several times a second until the run is over."""
    end = time.monotonic() + seconds
    asked = 0.0
    while time.monotonic() < end:
        yield
        time.sleep(0.1)
        if time.monotonic() - asked > 3:
            asked = time.monotonic()
            if client.run_state(KILLS, RUN_ID) in ("success", "failed"):
                return
    pytest.fail(f"the run is not over after {seconds:.0f} s")


@contextmanager
def stopping(specs: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[int, int]]:
    """Stop each trainer where it is to meet its kill; give their process numbers, by index."""
    stopped: dict[int, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for index, (_, point) in enumerate(KILLED, start=1):
                if index not in stopped and is_due(specs[index], point):
                    pid = storage.read_json(Run(specs[index]["run_uri"]).lease(1))["pid"]
                    os.kill(pid, signal.SIGSTOP)
                    stopped[index] = pid

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield stopped
    finally:
        done.set()
        thread.join()


def is_due(spec: Mapping[str, Any], point: str) -> bool:
    run, step = Run(spec["run_uri"]), POINTS[point]
    if step == 0:
        return storage.exists(run.lease(1))  # the trainer is up, and TensorFlow is not
    return storage.exists(f"{run.checkpoints(1)}/ckpt-{step}.index")


def kill(client: AirflowClient, index: int, trainer: int) -> None:
    """Kill -9 one of the three; let the trainer go on, unless it was that."""
    kind, _ = KILLED[index - 1]
    if kind == TRAINER:
        os.kill(trainer, signal.SIGKILL)
        return
    instance = next(i for i in client.task_instances(KILLS, RUN_ID) if i["map_index"] == index)
    task = instance["pid"]
    os.kill(task if kind == TASK else psutil.Process(task).ppid(), signal.SIGKILL)
    os.kill(trainer, signal.SIGCONT)


def tensorboard_link(client: AirflowClient, index: int) -> str | None:
    path = f"/dags/{KILLS}/dagRuns/{RUN_ID}/taskInstances/train/links"
    links = client._call("GET", path, params={"map_index": index}).json()["extra_links"]
    found: str | None = links["TensorBoard"]
    return found


def outcome(
    client: AirflowClient, run: Run, instance: Mapping[str, Any], link: str | None
) -> Training:
    """Read what happened from the logs of all attempts."""
    tries = instance["try_number"]
    logs = [client.log_lines({**instance, "try_number": n + 1}) for n in range(tries)]
    lines = [line for log in logs for line in log]
    last = max(i for i, line in enumerate(lines) if LAUNCHED.search(line))
    return Training(
        run=run,
        tries=tries,
        trainers=sum(bool(LAUNCHED.search(line)) for line in lines),
        resumed=greatest(RESUMED, lines[last:]),
        reached=greatest(REACHED, lines[:last]),
        started=datetime.fromisoformat(instance["start_date"]),
        link=link,
    )


def greatest(pattern: re.Pattern[str], lines: Sequence[str]) -> int:
    """Return the greatest number that a pattern finds, 0 if it finds none."""
    return max((int(found[1]) for line in lines if (found := pattern.search(line))), default=0)


def names(run: Run) -> list[str]:
    """Return the names of all files of a round.

    But for events, of which each trainer writes its own, and what TensorFlow leaves of a file
    that it was writing when it was killed.
    """
    found = [uri.removeprefix(run.round(1)) for uri in storage.list_files(run.round(1))]
    return [name for name in found if "events.out" not in name and ".tmp" not in name]


def weights(run: Run) -> dict[str, str]:
    folder = run.weights(1)
    return {uri.removeprefix(folder): digest for uri, digest in digests(folder).items()}
