import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from boxloop_airflow.launchers import FAILED, GONE, RUNNING, SUCCEEDED, Job, JobId, Status
from boxloop_airflow.launchers.local import LocalLauncher

LAUNCH = """
import json, os, signal, sys
from boxloop_airflow.launchers import Job
from boxloop_airflow.launchers.local import LocalLauncher
job = Job(name="boxloop-test", run_uri="r", arguments=["-c", sys.argv[1]])
print(json.dumps(LocalLauncher({}).submit(job)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
SAVES = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(143)))
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def launcher() -> LocalLauncher:
    return LocalLauncher({})


@pytest.fixture
def submit(launcher: LocalLauncher) -> Iterator[Any]:
    """Start jobs that run a script; none is left in the end."""
    job_ids: list[JobId] = []

    def submit(script: str, **environment: str) -> JobId:
        arguments = ["-c", script]
        job = Job(name="boxloop-test", run_uri="r", arguments=arguments, environment=environment)
        job_ids.append(launcher.submit(job))
        return job_ids[-1]

    yield submit
    for job_id in job_ids:
        if launcher.status(job_id).state == RUNNING:
            os.killpg(job_id["group"], signal.SIGKILL)


def follow(launcher: LocalLauncher, job_id: JobId, offset: int | None = None) -> list[str]:
    lines: list[str] = []
    launcher.follow(job_id, offset, lambda line, after: lines.append(line))
    return lines


def waits_for(path: Path) -> str:
    """Return code that ends when a file is there; with an error if it does not come."""
    seen = f"__import__('os').path.exists({str(path)!r})"
    return f"[None for _ in iter(lambda: {seen} or __import__('time').sleep(0.02), True)]"


def wait_for_line(launcher: LocalLauncher, job_id: JobId) -> None:
    end = time.monotonic() + 60
    while not (Path(job_id["folder"]) / "log").read_bytes().endswith(b"\n"):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_all_that_a_job_prints_comes_line_by_line(launcher: LocalLauncher, submit: Any) -> None:
    job_id = submit("import sys; print('one'); print('two', file=sys.stderr); print('3', end='')")
    assert follow(launcher, job_id) == ["one", "two", "3"]
    assert launcher.status(job_id) == Status(SUCCEEDED, 0)


def test_lines_come_while_the_job_runs(
    launcher: LocalLauncher, submit: Any, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    job_id = submit(f"print(1); {waits_for(heard)}; print(2)")
    launcher.follow(job_id, None, lambda line, after: heard.touch())
    assert launcher.status(job_id) == Status(SUCCEEDED, 0)


def test_the_log_goes_on_where_another_left_off(launcher: LocalLauncher, submit: Any) -> None:
    job_id = submit("print('first'); print('sécond'); print('third')")
    offsets: list[int] = []
    launcher.follow(job_id, None, lambda line, after: offsets.append(after))
    assert [follow(launcher, job_id, offset) for offset in offsets] == [
        ["sécond", "third"],
        ["third"],
        [],
    ]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("raise SystemExit(2)", Status(FAILED, 2)),
        ("import os; os.kill(os.getpid(), 9)", Status(FAILED, 137, "ended by signal 9")),
    ],
    ids=["exit code", "killed"],
)
def test_the_exit_code_is_kept(
    launcher: LocalLauncher, submit: Any, script: str, status: Status
) -> None:
    job_id = submit(script)
    follow(launcher, job_id)
    assert launcher.status(job_id) == status


def test_a_stopped_job_may_save_and_its_exit_code_is_kept(
    launcher: LocalLauncher, submit: Any
) -> None:
    job_id = submit(SAVES)
    wait_for_line(launcher, job_id)
    launcher.stop(job_id)
    assert follow(launcher, job_id) == ["up", "saved"]
    assert launcher.status(job_id).exit_code == 143


def test_a_job_outlives_the_process_that_started_it(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    script = f"print('up', flush=True); {waits_for(tmp_path / 'seen')}; print('done')"
    parent = subprocess.run(
        [sys.executable, "-c", LAUNCH, script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "plugins"},
        check=False,
    )
    assert parent.returncode == -signal.SIGKILL
    job_id = json.loads(parent.stdout)
    assert launcher.status(job_id).state == RUNNING
    (tmp_path / "seen").touch()
    assert follow(launcher, job_id) == ["up", "done"]
    assert launcher.status(job_id) == Status(SUCCEEDED, 0)


def test_a_job_whose_shell_was_killed_is_gone(launcher: LocalLauncher, submit: Any) -> None:
    job_id = submit(SAVES)
    wait_for_line(launcher, job_id)
    os.killpg(job_id["group"], signal.SIGKILL)
    end = time.monotonic() + 60
    while launcher.status(job_id).state == RUNNING and time.monotonic() < end:
        time.sleep(0.02)
    assert launcher.status(job_id) == Status(GONE)
    launcher.stop(job_id)


def test_a_job_of_another_machine_is_gone(launcher: LocalLauncher, submit: Any) -> None:
    job_id = submit("import time; time.sleep(60)")
    elsewhere = {**job_id, "process": {**job_id["process"], "machine": "another"}}
    assert launcher.status(elsewhere) == Status(GONE)
    launcher.stop(elsewhere)
    assert launcher.status(job_id).state == RUNNING


def test_nothing_is_left_of_a_removed_job(
    launcher: LocalLauncher, submit: Any, tmp_path: Path
) -> None:
    job_id = submit("pass")
    follow(launcher, job_id)
    launcher.remove(job_id)
    assert list(tmp_path.iterdir()) == []
    assert launcher.status(job_id) == Status(GONE)
    assert follow(launcher, job_id) == []


def test_a_job_sees_its_own_environment_and_no_secrets_of_airflow(
    launcher: LocalLauncher, submit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "secret")
    script = "import os; print([k for k in os.environ if k.startswith(('AIRFLOW__', 'MINE'))])"
    assert follow(launcher, submit(script, MINE="1")) == ["['MINE']"]


def test_no_zombie_is_left(launcher: LocalLauncher, submit: Any) -> None:
    follow(launcher, submit("pass"))
    assert [child for child in psutil.Process().children() if child.status() == "zombie"] == []


def test_a_job_that_ends_while_it_is_followed_loses_no_line(
    launcher: LocalLauncher, submit: Any
) -> None:
    count = 20000
    job_id = submit(f"for i in range({count}): print(i)")
    assert follow(launcher, job_id) == [str(i) for i in range(count)]


def test_several_hosts_are_several_processes_of_one_job() -> None:
    launcher = LocalLauncher({"hosts": 2})
    script = "import os; print(os.environ['BOXLOOP_HOST_INDEX'], os.getpgrp())"
    job_id = launcher.submit(Job(name="boxloop-test", run_uri="r", arguments=["-c", script]))
    lines = sorted(follow(launcher, job_id))
    group = job_id["group"]
    assert lines == [f"0 {group}", f"host 1: 1 {group}"]
    assert launcher.status(job_id) == Status(SUCCEEDED, 0)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="launcher local has no option 'gpus'; it has python"):
        LocalLauncher({"gpus": 1})
