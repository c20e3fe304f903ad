import threading
import time
from pathlib import Path
from typing import Any

import pytest

from boxloop import lease, steps, storage, training
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
