"""A disk that is full, or cannot be written to, and comes back."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.faults.campaign import Act, Scene
from tests.faults.parts import Moment
from tests.faults.stage import wait_until

from boxloop.local_airflow.demo import DAG

SIZE = "1g"
NO_MEMORY = "memory refused (MemoryError), the task cleared by hand"


def why_not() -> str | None:
    """Return why no file system can be mounted here, which the faults of disks need."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "only root can mount a disk"
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        tried = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if tried.returncode:  # root of a container, perhaps
            return tried.stderr.strip()
        _run("umount", folder)
    return None


@contextmanager
def own_disk(folder: Path) -> Iterator[None]:
    """Put a file system of its own at a folder, in memory."""
    folder.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def fill(moment: Moment, task_id: str) -> Act:
    """Fill the disk until a task has failed by it, then make room."""

    def act(scene: Scene) -> str:
        ballast = Path(scene.stage.root) / "ballast"
        with scene.stage.stopped_at(*moment):
            for size in (2**20, 512):
                with suppress(OSError), ballast.open("ab", buffering=0) as file:
                    while True:
                        file.write(bytes(size))
        try:
            wait_for_failure(scene, task_id)
        finally:
            ballast.unlink()
        return "disk full"

    return act


def lock(moment: Moment, task_id: str) -> Act:
    """Make the disk read-only until a task has failed by it."""

    def act(scene: Scene) -> str:
        with scene.stage.stopped_at(*moment):
            _remount(scene.stage.root, "ro")
        try:
            wait_for_failure(scene, task_id)
        finally:
            _remount(scene.stage.root, "rw")
        return "disk read-only"

    return act


def wait_for_failure(scene: Scene, task_id: str) -> None:
    """Wait until an attempt of a task has failed."""
    before = scene.stage.instance(scene.run_id, task_id)["try_number"]

    def has_failed() -> bool:
        instance = scene.stage.instance(scene.run_id, task_id)
        has_ended = instance["state"] in ("failed", "up_for_retry")
        return has_ended or instance["try_number"] > before

    wait_until(has_failed, 900, f"{task_id} fails")


def no_memory() -> Mapping[str, Any]:
    """Return the fault that refuses an export its memory, which no attempt after it can mend."""
    return {
        "id": "memory",
        "kind": NO_MEMORY,
        "task": "export",
        "round": 1,
        "point": "middle",
        "action": "memory",
    }


def clear_failed(task_id: str) -> Act:
    """Wait until a task has failed for good, and clear it as a person would."""

    def act(scene: Scene) -> None:
        def has_failed() -> bool:
            return str(scene.stage.instance(scene.run_id, task_id)["state"]) == "failed"

        wait_until(has_failed, 900, f"{task_id} fails for good")
        scene.stage.client.clear(DAG, scene.run_id)

    return act


def _remount(folder: str, mode: str) -> None:
    for _ in range(200):  # a file that is being written keeps it busy
        if subprocess.run(["mount", "-o", f"remount,{mode}", folder]).returncode == 0:
            return
        time.sleep(0.1)
    raise OSError(f"{folder} could not be made {mode}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
