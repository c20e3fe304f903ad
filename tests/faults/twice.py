"""The same work done twice at once, by processes that know nothing of each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.campaign import Act, Scene
from tests.faults.parts import Moment
from tests.faults.stage import MICRO, SETTINGS, wait_until

from boxloop import steps
from boxloop.local_airflow.server import MARK

ENDED = re.compile(r"^twin ended: (\d+)", re.MULTILINE)


def twins() -> list[Mapping[str, Any]]:
    """Return the faults that run each task of a round twice at once."""
    return [
        {
            "id": f"twin-{task}",
            "kind": "the same task run twice at once",
            "task": task,
            "round": 1,
            "point": "start",
            "action": "twin",
        }
        for task in steps.ROUND_TASKS
    ]


def zombie() -> Mapping[str, Any]:
    """Return the fault that stops a trainer for longer than its lease, and lets it go on."""
    return {
        "id": "zombie",
        "kind": "trainer stopped for 80 s while another waits for its lease, then going on",
        "task": "train",
        "round": 1,
        "point": "middle",
        "action": "stop",
        "seconds": 80,
    }


def failed_twins(scene: Scene) -> list[str]:
    """Wait for all second processes; return how those ended that did not end well."""
    problems = []
    for path in sorted(scene.stage.control.glob("twin-*.log")):
        wait_until(partial(_has_ended, path), 600, f"{path} ends")
        if _code(path) != "0":
            problems.append(f"{path.name}: {path.read_text()[-2000:]}")
    return problems


def _code(path: Path) -> str:
    """Return the exit code of a second process, nothing while it runs."""
    found = ENDED.search(path.read_text())
    return found[1] if found else ""


def _has_ended(path: Path) -> bool:
    return bool(_code(path))


def second_run(moment: Moment) -> Act:
    """Run the same experiment from a terminal while Airflow runs it."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        command = [sys.executable, "-m", "boxloop", "run", MICRO, "--root", scene.stage.root]
        command += ["--id", scene.run_id, "--set", "rounds=1"]
        for setting in SETTINGS.splitlines():
            command += ["--set", setting]
        ours = {k: v for k, v in os.environ.items() if k != "BOXLOOP_FAULTS"}
        ours[MARK] = str(scene.stage.server.home)  # ends with Airflow, if not by itself
        with (scene.stage.control / "twin-run.log").open("wb") as log:
            subprocess.Popen(
                ["sh", "-c", '"$@"; echo "twin ended: $?"', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ours,
                start_new_session=True,
            )
        return "two runs of the same experiment at once"

    return act
