"""The injector: a fault happens where the plan says, once, and leaves what a real one leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.kills import kill
from tests.faults.stage import HERE
from tests.rounds import plan

from boxloop import steps
from boxloop.artifacts import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return plan(tmp_path / "root", "run")


def do(run: Run, control: Path) -> int:
    """Do the first task of a round in a process that meets faults; return its exit code."""
    path = os.pathsep.join([str(HERE / "inject"), *filter(None, sys.path)])
    command = [sys.executable, "-m", "boxloop", "step", "parse_annotations"]
    return subprocess.run(
        [*command, "--run", run.uri, "--round", "1"],
        env={**os.environ, "PYTHONPATH": path, "BOXLOOP_FAULTS": str(control)},
        stdout=subprocess.DEVNULL,
    ).returncode


def test_a_process_dies_at_its_point_once_with_half_a_marker_left(run: Run, tmp_path: Path) -> None:
    fault = kill("task", "parse_annotations", 1, "marker")
    (tmp_path / "plan.json").write_text(json.dumps([fault]))
    assert do(run, tmp_path) == -signal.SIGKILL
    done = Path(run.marker(1, "parse_annotations")).parent
    (half,) = done.iterdir()
    with pytest.raises(ValueError, match="line"):
        json.loads(half.read_text())
    assert do(run, tmp_path) == 0
    assert steps.finished_value(run, 1, "parse_annotations") is not None
    lines = (tmp_path / "trail.jsonl").read_text().splitlines()
    points = [json.loads(line)["point"] for line in lines]
    assert [point for point in points if point != "middle"] == ["start", "marker"] * 2 + ["after"]


def test_nothing_happens_in_other_rounds(run: Run, tmp_path: Path) -> None:
    fault = kill("task", "parse_annotations", 2, "start")
    (tmp_path / "plan.json").write_text(json.dumps([fault]))
    assert do(run, tmp_path) == 0
