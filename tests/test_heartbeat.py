import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boxloop import heartbeat, storage

WATCHES = """
import signal, sys, time
from boxloop import child
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
child.watch_lifeline()
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "train.heartbeat")


@contextmanager
def watching(uri: str, seconds: int = 1) -> Iterator[subprocess.Popen[str]]:
    """Start a task that may be without a heartbeat for so long."""
    environment = {**os.environ, **heartbeat.environment(uri)}
    environment[heartbeat.ORPHAN_SECONDS] = str(seconds)
    command = [sys.executable, "-c", WATCHES]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process


def test_a_task_lives_as_long_as_its_heartbeat(uri: str) -> None:
    with heartbeat.beating(uri, seconds=0.2), watching(uri, seconds=5) as process:
        time.sleep(7)
        assert process.poll() is None
        process.kill()


def test_a_task_whose_heartbeat_stops_saves_and_ends(uri: str) -> None:
    with watching(uri) as process:
        with heartbeat.beating(uri, seconds=0.2):
            time.sleep(0.5)
        assert process.wait(60) == 143


def test_a_task_that_nobody_ever_waited_for_ends_as_well(uri: str) -> None:
    with watching(uri) as process:
        assert process.wait(60) == 143


def test_a_heartbeat_that_is_there_but_does_not_change_is_silence(uri: str) -> None:
    storage.write_bytes(uri, b"1")
    reasons: list[str] = []
    started = time.monotonic()
    heartbeat.wait_for_silence(uri, 0.5, reasons.append)
    assert 0.5 < time.monotonic() - started < 30
    assert reasons == [f"{uri} has not changed for 0.5 s: nobody waits for this task any more"]


def test_nothing_is_left_of_a_heartbeat(uri: str) -> None:
    with heartbeat.beating(uri, seconds=0.05):
        first = storage.read_bytes(uri)
        end = time.monotonic() + 30
        while storage.read_bytes(uri) == first:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert not storage.exists(uri)


def test_a_beat_that_fails_does_not_end_the_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with heartbeat.beating(str(tmp_path / "file" / "heartbeat"), seconds=0.1):
        time.sleep(0.3)
    assert "could not be written" in caplog.text


@pytest.mark.parametrize("text", ["soon", "0", "-1"])
def test_orphan_seconds_must_be_a_time(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(heartbeat.ORPHAN_SECONDS, text)
    with pytest.raises(ValueError, match=f"seconds above 0, got '{text}'"):
        heartbeat.environment("uri")
