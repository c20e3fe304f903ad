"""Airflow's real web server for the tests of a page."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).parents[2]
USERS = {"anna": "admin", "uma": "user", "vic": "viewer"}
"""Who can log in, each with their name as password, and their role."""


@contextmanager
def serve(
    module: str, argument: str, home: Path, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a module that serves, with a port and an argument; gives the address.

    Args:
        module: as in `python -m`.
        argument: the second on its command line.
        home: of Airflow; the artifact root is the folder above.
        environment: what else it is told.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", module, str(port), argument],
        cwd=PROJECT,
        env={**_environment(home), **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(server, url := f"http://127.0.0.1:{port}")
        yield url
    finally:
        server.terminate()
        server.wait()


def log_in(url: str, name: str) -> str:
    """Return a user's token, as logging in with a password gives it."""
    said = {"username": name, "password": name}
    answer = httpx.post(f"{url}/auth/token", json=said, trust_env=False, timeout=30)
    return str(answer.raise_for_status().json()["access_token"])


def _environment(home: Path) -> dict[str, str]:
    home.mkdir()
    passwords = home / "passwords.json"
    names = ", ".join(f'"{name}": "{name}"' for name in USERS)
    passwords.write_text(f"{{{names}}}")
    folders = [str(PROJECT / name) for name in ("include", "plugins", ".")]
    users = ",".join(f"{name}:{role}" for name, role in USERS.items())
    return os.environ | {
        "AIRFLOW_HOME": str(home),
        "BOXLOOP_ROOT": str(home.parent),
        "AIRFLOW__API_AUTH__JWT_SECRET": "s" * 64,
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": users,
        "PYTHONPATH": os.pathsep.join(folders),
    }


def _wait(server: "subprocess.Popen[bytes]", url: str) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end and server.poll() is None:
        try:
            httpx.get(f"{url}/api/v2/version", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail("Airflow's web server is not up")
