"""Settings that must stand before Airflow is first imported, and what many tests share."""

import os
import socket
import tempfile
from collections.abc import Iterator

import pytest
from gcp_storage_emulator.server import create_server
from hypothesis import settings

from boxloop import storage

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="boxloop-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# the same examples every time, and no deadline, since a busy machine is no failure
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal tests to processes by file, but all of a real Airflow to one; that is the longest.

    So it comes first, and its server and every module's fixtures are made once.
    """
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)
    for item in items:
        name = "airflow" if item.get_closest_marker("e2e") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(name))


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
        storage._client.cache_clear()
        yield "gs://bucket"
        storage._client().close()  # its open sockets would warn
        storage._client.cache_clear()
        server.stop()
