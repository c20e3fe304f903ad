import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deployment import compose, database
from tests.deployment.client import TeamClient
from tests.deployment.stack import Stack

PROJECT = compose.PROJECT
PROFILES = ("local", "gpu")
VARIABLES = {
    **compose.env_file(PROJECT / "docker" / "local.env"),
    **compose.env_file(PROJECT / "docker" / "gpu.env"),
    "BOXLOOP_COOKIE_SECURE": "True",
}


def missing() -> list[str]:
    """Return the packages that this machine lacks to run the stack."""
    has = {"redis-server": shutil.which("redis-server"), "postgresql": database.programs()}
    return [name for name, place in has.items() if place is None]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Every service of docker-compose.yaml with its profiles `local` and `gpu`, up and healthy."""
    venv = Path(os.environ.get("BOXLOOP_IMAGE_VENV", ""))
    if not (venv / "bin" / "airflow").exists():
        pytest.fail("run `make test-deployment`, which builds the environment of the images")
    if lacks := missing():
        pytest.skip(f"apt-get install {' '.join(lacks)}")
    folder = Path(tempfile.mkdtemp(prefix="boxloop-stack-"))
    folder.chmod(0o755)  # PostgreSQL has a user of its own
    services = compose.services(VARIABLES, PROFILES)
    emulator = Path(sys.executable).parents[1]
    try:
        with Stack(folder, services, venv=venv, emulator=emulator) as stack:
            for name in set(services) - {"init"}:
                stack.wait_until_healthy(name)
            yield stack
            started = stack.processes()
        assert len(started) > len(services)  # else tests of processes look at nothing
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[TeamClient]:
    """The API, as the first user."""
    with TeamClient(stack.url, "admin", stack.secret("admin_password")) as client:
        yield client
