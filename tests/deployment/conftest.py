import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.deployment import compose, database
from tests.deployment.client import TeamClient
from tests.deployment.compose import Service
from tests.deployment.stack import Stack
from tests.faults.stage import MICRO, SETTINGS, SOON

from boxloop.gcs import client as gcs
from boxloop.local_airflow.demo import DAG

PROJECT = compose.PROJECT
PROFILES = ("local", "gpu")
VARIABLES = {
    **compose.env_file(PROJECT / "docker" / "local.env"),
    **compose.env_file(PROJECT / "docker" / "gpu.env"),
    "BOXLOOP_COOKIE_SECURE": "True",
}
RUN = "deployed"
PARAMS = {"experiment": MICRO, "settings": SETTINGS}
SECONDS = 1200


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
    services = _impatient(compose.services(VARIABLES, PROFILES))
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


@pytest.fixture(scope="session")
def bucket(stack: Stack) -> Iterator[str]:
    """The bucket that the stack writes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", stack.bucket_host)
        patch.setenv("NO_PROXY", "127.0.0.1")
        gcs.close()
        yield "gs://boxloop"
        gcs.close()  # its open sockets would warn


@pytest.fixture(scope="session")
def finished(client: TeamClient) -> str:
    """The state in which a run of the micro experiment has ended."""
    end = time.monotonic() + SECONDS
    while not client.has_dag(DAG):
        assert time.monotonic() < end, client.import_errors()
        time.sleep(2)
    client.unpause(DAG)
    client.trigger(DAG, RUN, {**PARAMS, "experiment_id": RUN})
    while (state := client.run_state(DAG, RUN)) not in ("success", "failed"):
        assert time.monotonic() < end, client.task_instances(DAG, RUN)
        time.sleep(2)
    return state


def _impatient(services: Mapping[str, Service]) -> dict[str, Service]:
    """Return services whose Airflow misses what was killed sooner than the file has it."""
    return {
        name: replace(each, environment={**each.environment, **SOON})
        if SOON.keys() & each.environment.keys()
        else each
        for name, each in services.items()
    }
