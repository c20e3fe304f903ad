import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from boxloop.child import Child, parse_progress, step_command

IGNORES_SIGTERM = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(grandchild.pid, flush=True)
time.sleep(60)
"""
WATCHES = "import time; from boxloop.child import watch_lifeline; watch_lifeline(); print('up')"
SLEEPS_WATCHED = f"{WATCHES}; time.sleep(60)"
PARENT = f"""
import os, sys
from boxloop.child import Child
child = Child([sys.executable, "-c", "import os; print(os.getpid(), flush=True); {SLEEPS_WATCHED}"])
child.run(lambda line: print(line, flush=True))
"""


def run(script: str) -> tuple[int, list[str]]:
    lines: list[str] = []
    return Child([sys.executable, "-c", script]).run(lines.append), lines


def is_gone(pid: int, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_output_and_errors_come_line_by_line_in_order() -> None:
    script = "import sys; print('one'); print('two', file=sys.stderr); print('three')"
    assert run(script) == (0, ["one", "two", "three"])


def test_lines_come_while_the_command_still_runs(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nprint(1)\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)"
    )
    heard = tmp_path / "heard"
    child = Child([sys.executable, "-c", script, str(heard)])
    assert child.run(lambda line: heard.touch()) == 0


def test_bytes_that_are_no_text_do_not_end_the_run() -> None:
    script = "import sys; sys.stdout.buffer.write(bytes([255, 10]))"
    assert run(script) == (0, ["\N{REPLACEMENT CHARACTER}"])


@pytest.mark.parametrize(
    ("script", "code"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)],
    ids=["well", "exit code", "signal"],
)
def test_exit_code(script: str, code: int) -> None:
    assert run(script)[0] == code


def test_terminate_ends_what_ignores_sigterm_and_what_that_has_started() -> None:
    child = Child([sys.executable, "-c", IGNORES_SIGTERM])
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        threading.Thread(target=child.terminate, args=(0.3,)).start()

    started = time.monotonic()
    assert child.run(on_line) == -signal.SIGKILL
    assert time.monotonic() - started < 30
    assert is_gone(int(lines[0]))


def test_terminate_lets_a_command_clean_up() -> None:
    script = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143));"
        "print('up', flush=True); time.sleep(60)"
    )
    child = Child([sys.executable, "-c", script])
    assert child.run(lambda line: child.terminate(60)) == 143


def test_terminate_before_and_after_the_run_does_nothing() -> None:
    child = Child([sys.executable, "-c", "pass"])
    child.terminate()
    assert child.run(lambda line: None) == 0
    child.terminate()


def test_an_error_of_the_listener_ends_the_command() -> None:
    pids: list[int] = []

    def on_line(line: str) -> None:
        pids.append(int(line))
        raise RuntimeError("no more")

    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(RuntimeError, match="no more"):
        Child([sys.executable, "-c", script]).run(on_line)
    assert is_gone(pids[0])


def test_the_command_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "up\n"
        parent.kill()
        parent.wait()
    assert is_gone(pid)


def test_a_watched_command_ends_by_itself_as_usual() -> None:
    assert run(WATCHES) == (0, ["up"])


def test_the_command_sees_no_secrets_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "secret")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    script = "import os; print([k for k in os.environ if k.startswith(('AIRFLOW__', 'STORAGE'))])"
    assert run(script) == (0, ["['STORAGE_EMULATOR_HOST']"])


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        ('@progress {"step": 40, "steps": 120}', {"step": 40, "steps": 120}),
        ("step 40 of 120", None),
        ("@progress half", None),
        ("@progress 40", None),
        ('log: @progress {"step": 40}', None),
    ],
)
def test_parse_progress(line: str, progress: dict[str, int] | None) -> None:
    assert parse_progress(line) == progress


def test_step_command_names_a_worker_only_where_there_are_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXLOOP_PYTHON", "py")
    start = ["py", "-m", "boxloop", "step"]
    run_uri = str(tmp_path)
    assert step_command("train", run_uri, 3) == [
        *[*start, "train"],
        *["--run", run_uri, "--round", "3"],
    ]
    assert step_command("predict", run_uri, 3, 1, 4) == [
        *[*start, "predict"],
        *["--run", run_uri, "--round", "3", "--worker", "1", "--workers", "4"],
    ]


def test_the_interpreter_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOXLOOP_PYTHON", raising=False)
    assert step_command("train", "r", 1)[0] == sys.executable
    monkeypatch.setenv("BOXLOOP_PYTHON", "/opt/tf/bin/python")
    assert step_command("train", "r", 1)[0] == "/opt/tf/bin/python"
