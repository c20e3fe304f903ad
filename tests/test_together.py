"""Processes that train together end together; scripts stand for the trainers."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HEAD = """
import os, signal, sys, time
index = int(os.environ["BOXLOOP_HOST_INDEX"])
def touch(name):
    open(os.path.join(sys.argv[1], f"{name}{index}"), "w").write(str(os.getpid()))
"""
SLEEPS = "touch('pid'); time.sleep(60)"


def start(folder: Path, script: str, number: int = 2) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "boxloop.together", str(number), "-c", HEAD + script, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path) -> int:
    end = time.monotonic() + 30
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, path
        time.sleep(0.01)
    return int(path.read_text())


def test_the_chiefs_lines_come_as_they_are_and_those_of_others_without_progress(
    tmp_path: Path,
) -> None:
    script = r"for line in (f'loss {index}', '@progress {}'): sys.stdout.write(line + '\n')"
    output, _ = start(tmp_path, script).communicate(timeout=30)
    assert sorted(output.splitlines()) == ["@progress {}", "host 1: loss 1", "loss 0"]


def test_all_know_the_same_addresses(tmp_path: Path) -> None:
    script = "print(os.environ['BOXLOOP_HOSTS'])"
    output, _ = start(tmp_path, script, 3).communicate(timeout=30)
    addresses = {line.rpartition(" ")[2] for line in output.splitlines()}
    (text,) = addresses
    assert len({each for each in text.split(",") if each.startswith("localhost:")}) == 3


@pytest.mark.parametrize("victim", [0, 1])
def test_where_one_is_killed_all_end(tmp_path: Path, victim: int) -> None:
    process = start(tmp_path, SLEEPS)
    pids = [wait_for(tmp_path / f"pid{index}") for index in (0, 1)]
    psutil.Process(pids[victim]).kill()
    assert process.wait(timeout=50) == 128 + signal.SIGKILL
    assert not any(psutil.pid_exists(pid) for pid in pids)
    process.communicate()


def test_one_that_fails_gives_its_exit_code_and_who_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boxloop import together

    monkeypatch.setattr(together, "GRACE_SECONDS", 0.3)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", deaf + "print(1, flush=True); time.sleep(60)"],
            stdout=subprocess.PIPE,
            text=True,
        ),
        subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"], text=True),
    ]
    assert processes[0].stdout is not None
    processes[0].stdout.readline()
    assert together.wait(processes) == 2
    assert processes[0].returncode == -signal.SIGKILL
    processes[0].stdout.close()


def test_a_told_end_reaches_all_and_each_may_save_in_its_own_time(tmp_path: Path) -> None:
    script = """
def save(*_):
    signal.signal(signal.SIGTERM, lambda *_: touch('disturbed'))
    time.sleep(0 if index else 1)  # the chief uploads
    touch('saved')
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
touch('pid'); time.sleep(60)
"""
    process = start(tmp_path, script)
    for index in (0, 1):
        wait_for(tmp_path / f"pid{index}")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=50) == 143
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"pid0", "pid1", "saved0", "saved1"}
    process.communicate()
