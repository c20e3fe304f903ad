import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.rounds import MICRO, pretend

from boxloop import detector, hosts, lease, steps, storage, training
from boxloop.artifacts import Run

VALUE = {"steps": 60}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose first round is ready to train."""
    run = Run(str(tmp_path))
    storage.write_json(run.marker(1, "write_tfrecords"), {"fingerprint": "", "value": {}})
    return run


def test_training_holds_the_lease_of_its_round(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(run: Run, round_number: int, held: lease.Held) -> Any:
        held.check()
        return {"uri": held.uri, "is_held": storage.exists(run.lease(round_number))}

    monkeypatch.setattr(training, "train", train)
    assert steps.run_task("train", run.uri, 1) == {"uri": run.lease(1), "is_held": True}
    assert not storage.exists(run.lease(1))


def test_of_two_trainers_the_second_waits_and_finds_all_done(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []

    def train(*arguments: Any) -> Any:
        begun.append(time.monotonic())
        time.sleep(0.5)
        return VALUE

    monkeypatch.setattr(training, "train", train)
    second = threading.Thread(target=steps.run_task, args=("train", run.uri, 1))
    with lease.hold(run.lease(1)):
        second.start()
        time.sleep(0.3)
        assert begun == []
    assert steps.run_task("train", run.uri, 1) == VALUE
    second.join()
    assert len(begun) == 1


def test_a_discarded_training_leaves_neither_marker_nor_checkpoint(run: Run) -> None:
    storage.write_json(run.marker(1, "train"), {"fingerprint": "", "value": VALUE})
    storage.write_bytes(f"{run.checkpoints(1)}/ckpt-60.index", b"")
    training.discard_training(run.uri, 1)
    left = storage.list_files(run.uri)
    assert left == [run.marker(1, "write_tfrecords")]


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the second of two hosts."""
    monkeypatch.setenv(hosts.TF_CONFIG, "{}")  # so that it is undone
    monkeypatch.delenv(hosts.TF_CONFIG)
    for name, value in hosts.environment(["a:1", "b:2"], 1).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("helper")
def test_a_helping_host_waits_for_no_lease_and_leaves_no_marker(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", lambda run, number, held: {"held": held})
    with lease.hold(run.lease(1)):
        assert steps.run_task("train", run.uri, 1) == {"held": None}
    assert storage.list_files(run.uri) == [run.marker(1, "write_tfrecords")]


def test_a_helping_host_has_nothing_to_do_where_all_is_done(
    run: Run, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(training, "train", lambda *_: VALUE)
    steps.run_task("train", run.uri, 1)
    request.getfixturevalue("helper")
    monkeypatch.setattr(training, "train", lambda *_: pytest.fail("the chief would never come"))
    assert steps.run_task("train", run.uri, 1) == VALUE


def test_a_helping_host_goes_on_from_the_chiefs_checkpoint(run: Run, tmp_path: Path) -> None:
    for name in ("checkpoint", "ckpt-60.index", "ckpt-60.data-00000-of-00001", "train/events.out"):
        storage.write_bytes(f"{run.checkpoints(1)}/{name}", b"x")
    folder = tmp_path / "own"
    folder.mkdir()
    training._fetch_checkpoint(run.checkpoints(1), folder)
    names = ["checkpoint", "ckpt-60.data-00000-of-00001", "ckpt-60.index"]
    assert sorted(path.name for path in folder.iterdir()) == names
    training._fetch_checkpoint(run.checkpoints(2), folder)


@pytest.mark.usefixtures("faulty")
def test_who_is_told_to_end_twice_still_uploads_what_the_first_time_has_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(*_: Any, is_stopped: threading.Event, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_stopped.wait(60)
        (named["model_dir"] / "checkpoint").write_text("20")
        named["on_checkpoint"]()
        raise SystemExit(143)

    def upload(*arguments: Any, **named: Any) -> None:
        time.sleep(0.2)  # by now the training has ended
        os.kill(os.getpid(), signal.SIGTERM)
        real(*arguments, **named)

    (spec,) = steps.plan_rounds(
        MICRO, root="gs://bucket", experiment_id="a", overrides={"rounds": 1}
    )
    run = Run(spec["run_uri"])
    steps.run_task("parse_annotations", run.uri, 1)
    pretend(run, 1, "write_tfrecords", {"shards": {"train": [], "validation": []}})
    trainer = SimpleNamespace(train=train, Data=lambda *_: None)
    monkeypatch.setattr(detector, "train", trainer, raising=False)
    real = storage.upload_folder
    monkeypatch.setattr(storage, "upload_folder", upload)
    with pytest.raises(SystemExit):
        steps.run_task("train", run.uri, 1)
    assert storage.read_bytes(f"{run.checkpoints(1)}/checkpoint") == b"20"
