"""A trainer's machine may vanish: another one goes on from what is on gs://."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.faulty_bucket import FaultyBucket

from boxloop import storage
from boxloop.checkpoint_keeper import keep_checkpoints

URI = "gs://bucket/run/round_01/checkpoints"
# what a trainer does with its folder, without TensorFlow: it keeps the last two checkpoints
TRAINER = """if True:
    import sys, time
    from boxloop import lease, storage
    from boxloop.checkpoint_keeper import keep_checkpoints
    uri, last = sys.argv[1], int(sys.argv[2])
    with lease.hold(uri + ".lease") as held, storage.working_folder(uri) as folder:
        step = 0
        if (folder / "checkpoint").exists():
            step = int((folder / "checkpoint").read_text())
            assert (folder / f"ckpt-{step}.data-00000").read_bytes() == b"%d" % step * 10000
        for path in folder.glob("ckpt-*"):
            if path.name not in (f"ckpt-{each}.data-00000" for each in (step - 1, step)):
                path.unlink()
        print("from", step, flush=True)
        with keep_checkpoints(folder, uri, check=held.check) as keep:
            for step in range(step + 1, last + 1):
                time.sleep(0.05)
                (folder / f"ckpt-{step}.data-00000").write_bytes(b"%d" % step * 10000)
                with (folder / "events.out").open("a") as events:
                    events.write(f"{step} ")
                (folder / "checkpoint").write_text(str(step))
                (folder / f"ckpt-{step - 2}.data-00000").unlink(missing_ok=True)
                keep()
"""


def trainer(machine: Path, last: int) -> subprocess.Popen[str]:
    machine.mkdir()
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", TRAINER, URI, str(last)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(machine)},
    )


def test_a_trainer_that_vanished_with_its_machine_is_taken_up_on_another(
    faulty: FaultyBucket, tmp_path: Path
) -> None:
    with trainer(tmp_path / "first", 10_000) as first:
        while faulty.asked("POST .*multipart") < 20:
            assert first.poll() is None
            time.sleep(0.01)
        first.kill()
    time.sleep(5)  # what was sent may still arrive
    kept = int(storage.read_bytes(f"{URI}/checkpoint"))
    (tmp_path / "first").rename(tmp_path / "gone")
    with trainer(tmp_path / "second", kept + 3) as second:
        output, _ = second.communicate(timeout=120)
        assert second.returncode == 0
    assert output.split() == ["from", str(kept)]
    names = [uri.removeprefix(f"{URI}/") for uri in storage.list_files(URI)]
    assert names == sorted(
        [f"ckpt-{kept + 2}.data-00000", f"ckpt-{kept + 3}.data-00000", "checkpoint", "events.out"]
    )
    assert storage.read_bytes(f"{URI}/checkpoint") == b"%d" % (kept + 3)
    steps = storage.read_bytes(f"{URI}/events.out").split()  # may tell of a step twice
    assert {int(step) for step in steps} == set(range(1, kept + 4))


def test_the_training_does_not_wait_for_a_copy_and_the_end_does(
    faulty: FaultyBucket, tmp_path: Path
) -> None:
    faulty.strike("slow", "POST", seconds=15)
    (tmp_path / "checkpoint").write_text("1")
    started = time.monotonic()
    with keep_checkpoints(tmp_path, URI, check=lambda: None) as keep:
        keep()
        assert time.monotonic() - started < 14
        (tmp_path / "checkpoint").write_text("2")  # the copy is of what was there
    assert time.monotonic() - started > 15
    assert storage.read_bytes(f"{URI}/checkpoint") == b"1"


def test_a_copy_that_failed_is_told_of_by_the_next_call_or_in_the_end(
    faulty: FaultyBucket, tmp_path: Path
) -> None:
    from google.api_core.exceptions import Forbidden

    faulty.strike("status", "POST", status=403, count=2)
    (tmp_path / "checkpoint").write_text("1")
    with keep_checkpoints(tmp_path, URI, check=lambda: None) as keep:
        keep()
        with pytest.raises(Forbidden):
            keep()
    with pytest.raises(Forbidden), keep_checkpoints(tmp_path, URI, check=lambda: None) as keep:
        keep()
    assert [path.name for path in tmp_path.parent.iterdir()].count(tmp_path.name) == 1
    assert not list(tmp_path.parent.glob(f"{tmp_path.name}-*"))


def test_what_ended_the_training_is_told_though_the_copy_failed_too(
    faulty: FaultyBucket, tmp_path: Path
) -> None:
    faulty.strike("status", "POST", status=403)
    (tmp_path / "checkpoint").write_text("1")

    def train() -> None:
        with keep_checkpoints(tmp_path, URI, check=lambda: None) as keep:
            keep()
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        train()


def test_who_may_not_write_any_more_writes_nothing(faulty: FaultyBucket, tmp_path: Path) -> None:
    lost = threading.Event()

    def check() -> None:
        if lost.is_set():
            raise PermissionError("lease")

    (tmp_path / "checkpoint").write_text("1")
    with keep_checkpoints(tmp_path, URI, check=check) as keep:
        lost.set()
        with pytest.raises(PermissionError):
            keep()
    assert not storage.exists(f"{URI}/checkpoint")


def test_a_local_folder_is_not_copied(tmp_path: Path) -> None:
    checked: list[int] = []
    with keep_checkpoints(tmp_path, str(tmp_path), check=lambda: checked.append(1)) as keep:
        keep()
    assert checked == [1]
    assert not list(tmp_path.iterdir())
