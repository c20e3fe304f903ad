"""A clock that is set an hour ahead in the middle of a run, and back.

A small library (clock.c) stands between the processes of a whole Airflow and their wall clock; the
injector lets the kernel's time of the machine's start follow, as it does where a clock is set.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.faults.campaign import Act, Scene
from tests.faults.parts import Moment

HOUR = 3600
SOURCE = Path(__file__).with_name("clock.c")


def why_not() -> str | None:
    """Return why no clock can be set here, None where one can."""
    return None if shutil.which("cc") else "no C compiler: apt-get install gcc"


def environment(folder: Path) -> Mapping[str, str]:
    """Return what gives processes a clock that can be set, and leave it right for now."""
    library = folder / "clock.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    put(folder, 0)
    return {"LD_PRELOAD": str(library), "BOXLOOP_CLOCK": str(folder / "offset")}


def put(folder: Path, seconds: int) -> None:
    """Set the clock of those processes ahead of the real one."""
    path = folder / "offset"
    with path.open("r+b" if path.exists() else "w+b") as file:  # the file that they have mapped
        file.write(struct.pack("=q", seconds))


def step(folder: Path, moment: Moment, seconds: float) -> Act:
    """Set the clock ahead, and after some seconds back."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        for offset in (HOUR, 0):
            put(folder, offset)
            (scene.stage.control / "clock").write_text(str(offset))
            time.sleep(seconds)
        return "clock set an hour ahead, and back"

    return act
