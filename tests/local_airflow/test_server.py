import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from boxloop.local_airflow.server import MARK, AirflowServer, free_ports
from boxloop_airflow.launchers import GONE, RUNNING, Job
from boxloop_airflow.launchers.local import LocalLauncher

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def start_marked(home: Path) -> subprocess.Popen[bytes]:
    """Start what a server that was killed leaves behind: a process in a session of its own."""
    return subprocess.Popen(SLEEP, env={**os.environ, MARK: str(home)}, start_new_session=True)


@pytest.fixture
def breaks(tmp_path: Path) -> dict[str, str]:
    """An environment in which every Python ends at once."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text("raise SystemExit('it is broken')\n")
    return {"PYTHONPATH": str(tmp_path / "code")}


def test_a_start_that_fails_shows_the_end_of_the_log(
    tmp_path: Path, breaks: dict[str, str]
) -> None:
    server = AirflowServer(tmp_path / "home", environment=breaks)
    with pytest.raises(RuntimeError, match=r"(?s)ended while starting.*it is broken"):
        server.start()
    assert not server.is_running
    server.stop()


def test_a_start_ends_what_a_killed_server_left_behind(
    tmp_path: Path, breaks: dict[str, str]
) -> None:
    left, other = start_marked(tmp_path / "home"), start_marked(tmp_path / "other")
    try:
        with pytest.raises(RuntimeError):
            AirflowServer(tmp_path / "home", environment=breaks).start()
        assert not psutil.pid_exists(left.pid)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        left.wait()


def test_a_trainer_that_outlives_its_task_does_not_outlive_airflow(
    tmp_path: Path, breaks: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARK, str(tmp_path / "home"))
    job = Job(name="trainer", run_uri="r", arguments=["-c", "import time; time.sleep(60)"])
    launcher = LocalLauncher({})
    job_id = launcher.submit(job)
    monkeypatch.delenv(MARK)
    assert launcher.status(job_id).state == RUNNING
    with pytest.raises(RuntimeError):
        AirflowServer(tmp_path / "home", environment=breaks).start()
    assert launcher.status(job_id).state == GONE
    launcher.remove(job_id)


def test_two_servers_cannot_share_a_home(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from boxloop.local_airflow.server import hold;"
        f"file = hold(Path({str(tmp_path / 'server.lock')!r})); print('held', flush=True);"
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RuntimeError, match="already running"):
            AirflowServer(tmp_path).start()


def test_memory_counts_all_that_airflow_started(tmp_path: Path) -> None:
    server = AirflowServer(tmp_path)
    assert server.memory() == 0
    process = start_marked(tmp_path)
    try:
        end = time.monotonic() + 10  # it takes a moment to have the environment it was given
        while not server.processes() and time.monotonic() < end:
            time.sleep(0.02)
        assert [each.pid for each in server.processes()] == [process.pid]
        assert 10**5 < server.memory() < 10**9
    finally:
        process.kill()
        process.wait()


def test_a_taken_port_is_exchanged_for_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        assert free_ports(wanted)[0] != wanted
    assert free_ports(wanted)[0] == wanted
    assert len(set(free_ports(wanted))) == 3
