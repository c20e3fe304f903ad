"""Parts of Airflow that die in the middle of a round, and are started again."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from pathlib import Path

import psutil
from tests.faults.campaign import Act, Scene
from tests.faults.stage import AIRFLOW, Stage, wait_until

from boxloop import storage

SCHEDULER, TRIGGERER, PROCESSOR, API = "scheduler", "triggerer", "dag-processor", "api-server"
PARTS = (SCHEDULER, TRIGGERER, PROCESSOR, API)
Moment = tuple[str, int, str]
"""A task, a round, and a point of the task's work."""


def find_part(stage: Stage, part: str) -> list[psutil.Process]:
    """Return the process of a part of Airflow, the parent of its others."""
    found = [p for p in stage.server.processes() if _is_part(p, part)]
    numbers = {p.pid for p in found}
    return [p for p in found if p.ppid() not in numbers]


def _is_part(process: psutil.Process, part: str) -> bool:
    try:
        command = " ".join(process.cmdline())
        is_dead = process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    named = f"{AIRFLOW} {part}" in command or f"airflow {part.replace('-', '_')} --" in command
    return named and not is_dead


def start_part(stage: Stage, part: str, environment: dict[str, str]) -> None:
    """Start a part of Airflow as it was started before."""
    log = stage.server.home / "logs" / f"{part}.log"
    with log.open("ab") as file:
        started = subprocess.Popen(
            [AIRFLOW, part],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=Path.cwd(),
            env=environment,
            start_new_session=True,
        )
    stage.started.append(started)


def revive(stage: Stage, environment: dict[str, str]) -> list[str]:
    """Start every part of Airflow that is dead; return which."""
    dead = [part for part in PARTS if not find_part(stage, part)]
    for part in dead:
        start_part(stage, part, environment)
    return dead


def kill_part(part: str, moment: Moment, *, with_children: bool, away: float = 5.0) -> Act:
    """Kill a part of Airflow (-9) at a moment, and start it again some seconds later."""
    others = " and its processes" if with_children else ""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        (process,) = find_part(scene.stage, part)
        environment = process.environ()
        doomed = [process, *(process.children(recursive=True) if with_children else [])]
        for each in doomed:
            each.kill()
        time.sleep(away)
        start_part(scene.stage, part, environment)
        return f"{part}{others} killed (-9) and restarted"

    return act


def restart_airflow(moment: Moment) -> Act:
    """Stop all of Airflow in good order, and start it again."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        scene.stage.server.stop()
        scene.stage.start_again()
        return "all of Airflow stopped and started"

    return act


def reboot(moment: Moment) -> Act:
    """Kill everything at once, and come back as another boot of the machine."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        for process in scene.stage.server.processes():
            process.kill()
        scene.stage.server.stop()
        for lease in (scene.run.lease(moment[1]), scene.run.export_lease(moment[1])):
            if storage.exists(lease):  # a boot has a name, which is in the lease
                holder = {**storage.read_json(lease), "machine": "the boot before"}
                storage.write_json(lease, holder)
        scene.stage.start_again()
        return "machine restarted: everything killed (-9), leases left behind"

    return act


def lock_database(moment: Moment, seconds: float) -> Act:
    """Hold the only lock of Airflow's SQLite file."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        database = sqlite3.connect(scene.stage.server.home / "airflow.db", timeout=60)
        try:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
            database.rollback()
        finally:
            database.close()
        return f"database locked for {seconds:.0f} s (SQLite)"

    return act


def kill_task(task: str, index: int, moment: Moment, what: str, generations: int) -> Act:
    """Kill Airflow's own process of a task, or the one that watches over it."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        instance = scene.stage.instance(scene.run_id, f"round.{task}", index)
        process = psutil.Process(instance["pid"])
        for _ in range(generations):
            process = psutil.Process(process.ppid())
        process.kill()
        return f"{what} killed (-9) while its child works"

    return act


def stop_supervisor(task: str, index: int, moment: Moment, seconds: float) -> Act:
    """Stop what watches over a task until Airflow has given it up, and let it go on."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        instance = scene.stage.instance(scene.run_id, f"round.{task}", index)

        def tried() -> int:
            return int(scene.stage.instance(scene.run_id, f"round.{task}", index)["try_number"])

        supervisor = psutil.Process(psutil.Process(instance["pid"]).ppid())
        supervisor.suspend()
        try:
            wait_until(lambda: tried() > instance["try_number"], 300, "another attempt")
            time.sleep(seconds)
        finally:
            supervisor.resume()
        return "task's supervisor stopped until another attempt ran, then going on"

    return act
