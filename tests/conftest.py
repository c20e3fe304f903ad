"""Settings that must stand before Airflow is first imported, and what many tests share."""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator

import pytest
from gcp_storage_emulator.server import create_server
from hypothesis import settings
from tests import faulty_bucket

from boxloop.gcs import client

os.environ["BOXLOOP_CACHE_GB"] = "0"  # but where a test is about what is kept
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="boxloop-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"] = "300"  # the first import, on a busy machine
# the same examples every time, and no deadline, since a busy machine is no failure
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def steady_logging() -> Iterator[None]:
    """Leave the level of logging as it was: commands set it, and tests run them in this process."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """A bucket on an emulated Google Cloud Storage, for this process and all it starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        server = create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
        server.start()
        client.close()
        yield "gs://bucket"
        client.close()  # its open sockets would warn
        server.stop()


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[faulty_bucket.FaultyBucket]:
    """An empty bucket that holds writers to preconditions and goes wrong as a test asks it to."""
    with faulty_bucket.serve() as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        client.close()
        yield served
        client.close()
