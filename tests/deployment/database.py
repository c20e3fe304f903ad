"""What the entry point of PostgreSQL's image does, with Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs, if one is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def prepare(
    data: Path, secret: Path, environment: Mapping[str, str], settings: Mapping[str, str]
) -> list[str]:
    """Make a database unless there is one, and return the command of its server.

    Args:
        data: its folder.
        secret: the file with the password.
        environment: of the service: POSTGRES_USER and so on.
        settings: of the server.
    """
    folder = programs()
    assert folder is not None
    become = _become(data, secret.parent)
    if not (data / "PG_VERSION").exists():
        _create(folder, become, data, secret, environment)
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    return [*become, str(folder / "postgres"), "-D", str(data), *options]


def _create(
    folder: Path, become: list[str], data: Path, secret: Path, environment: Mapping[str, str]
) -> None:
    name = environment["POSTGRES_USER"]
    options = ["-U", name, "--pwfile", str(secret), *environment["POSTGRES_INITDB_ARGS"].split()]
    _run([*become, folder / "initdb", "-D", data, *options])
    create = f"CREATE DATABASE {environment['POSTGRES_DB']}\n"
    _run([*become, folder / "postgres", "--single", "-D", data, "postgres"], create)


def _become(*folders: Path) -> list[str]:
    """Return what runs a command as PostgreSQL's user, who owns the folders: it refuses root."""
    if os.geteuid() != 0:
        return []
    for folder in folders:
        shutil.chown(folder, "postgres", "postgres")
    return ["runuser", "-u", "postgres", "--"]


def _run(command: Sequence[str | Path], said: str = "") -> None:
    subprocess.run(
        command,
        input=said.encode(),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
