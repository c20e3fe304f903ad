"""Airflow's real web server with the review page, and a run that waits for people."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from tests.plugins.review.runs import RUN_ID, make_run

from boxloop import storage
from boxloop.artifacts import Run

PROJECT = Path(__file__).parents[3]
USERS = {"anna": "admin", "uma": "user", "vic": "viewer"}
POOL = 60


class Site(NamedTuple):
    """A web server, and the run that it knows of."""

    url: str
    run: Run

    @property
    def page(self) -> str:
        """Path of the review page."""
        return f"/boxloop-review/dags/active_learning/runs/{quote(RUN_ID, safe='')}"

    @cache  # noqa: B019 (there is one)
    def login(self, name: str) -> str:
        """Return a user's token, as logging in with a password gives it."""
        said = {"username": name, "password": name}
        answer = httpx.post(f"{self.url}/auth/token", json=said, trust_env=False, timeout=30)
        return str(answer.raise_for_status().json()["access_token"])


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("review")
    run = make_run(folder, pool=POOL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    specs = json.dumps([{"run_uri": run.uri, "round_number": number} for number in (2, 1)])
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.plugins.review.serve", str(port), specs],
        cwd=PROJECT,
        env=_environment(folder / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(server, url := f"http://127.0.0.1:{port}")
        yield Site(url, run)
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def fresh(site: Site) -> Iterator[Site]:
    """The site, and nobody has decided anything."""
    yield site
    storage.delete_folder(site.run.decisions(1))
    storage.delete(site.run.closed_review(1))


def _environment(home: Path) -> dict[str, str]:
    home.mkdir()
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
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
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        try:
            httpx.get(f"{url}/api/v2/version", trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail("Airflow's web server is not up")


def decisions(run: Run) -> list[dict[str, Any]]:
    """Return what has been recorded, oldest first."""
    return [storage.read_json(uri) for uri in storage.list_files(run.decisions(1))]
