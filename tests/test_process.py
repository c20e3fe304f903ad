import os
import subprocess
import sys

import psutil
import pytest

from boxloop import process


def test_a_process_knows_itself() -> None:
    assert process.identify()["pid"] == os.getpid()
    assert process.is_alive(process.identify())


def test_a_process_that_ended_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        identity = process.identify(other.pid)
        assert process.is_alive(identity)
    assert process.is_alive(identity) is False


def test_a_zombie_is_not_alive() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = process.identify(other.pid)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert process.is_alive(identity) is False
    other.communicate()


def test_a_number_that_is_used_again_is_another_process() -> None:
    mine = process.identify()
    assert process.is_alive({**mine, "started": mine["started"] - 60}) is False


def test_nothing_is_known_of_a_process_elsewhere() -> None:
    assert process.is_alive({**process.identify(), "machine": "another"}) is None


def test_a_process_stays_the_same_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = process.identify()
    an_hour_ahead = psutil.boot_time() + 3600
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: an_hour_ahead)
    assert process.is_alive(identity)
