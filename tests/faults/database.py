"""A PostgreSQL of one's own for Airflow, which is restarted under it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.deployment.database import programs
from tests.faults.campaign import Act, Scene
from tests.faults.parts import Moment

from boxloop.local_airflow.server import free_ports

USER = "postgres"
"""PostgreSQL refuses to run as root."""


def why_not() -> str | None:
    """Return why there can be no PostgreSQL here, None where there can."""
    if programs() is None:
        return "PostgreSQL is missing: apt-get install postgresql"
    drivers = [n for n in ("psycopg2", "asyncpg") if importlib.util.find_spec(n) is None]
    if drivers:
        return f"Python packages missing: {' '.join(drivers)}"
    return None if os.geteuid() == 0 else "only root can run it as another user"


class Postgres:
    """A database server in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(0)[1]

    def environment(self) -> Mapping[str, str]:
        """Return what makes Airflow use it."""
        where = f"{USER}@127.0.0.1:{self.port}/airflow"
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{where}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{where}",
        }

    def control(self, *command: str) -> None:
        """Start or stop it."""
        options = f"-c port={self.port} -c unix_socket_directories={self.folder} -c fsync=off"
        log = self.folder / "log"
        self._as_user(
            "pg_ctl", "-D", f"{self.folder}/data", "-l", f"{log}", "-o", options, "-w", *command
        )

    def create(self) -> None:
        """Make an empty database and start it."""
        self._as_user("initdb", "-D", f"{self.folder}/data", "-U", USER, "--auth=trust")
        self.control("start")
        self._as_user("createdb", "-h", "127.0.0.1", "-p", str(self.port), "airflow")

    def _as_user(self, name: str, *options: str) -> None:
        subprocess.run(
            ["runuser", "-u", USER, "--", f"{programs()}/{name}", *options],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="boxloop-postgres-"))
    shutil.chown(folder, USER)
    server = Postgres(folder)
    try:
        server.create()
        yield server
    finally:
        server.control("-m", "immediate", "stop")
        shutil.rmtree(folder)


def restart(server: Postgres, moment: Moment, seconds: float) -> Act:
    """Let the database crash, be away for some time, and come back."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        server.control("-m", "immediate", "stop")
        time.sleep(seconds)
        server.control("start")
        return "database crashed and restarted (PostgreSQL)"

    return act
