"""Redis as docker-compose.yaml starts it, alone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from tests.deployment import compose
from tests.deployment.stack import Stack

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="apt-get install redis-server"
)


def test_redis_asks_for_the_password_and_is_told_to_end(tmp_path: Path) -> None:
    services = {"redis": compose.services({}, ())["redis"]}
    venv = Path(sys.executable).parents[1]
    with Stack(tmp_path, services, venv=venv, emulator=venv) as stack:
        stack.wait_until_healthy("redis")
        port = services["redis"].check[-1].split("-p ")[1].split()[0]
        assert "NOAUTH" in stack.run("redis", "redis-cli", "-p", port, "ping").stdout
        assert stack.end("redis") == 0
        assert "Received SIGTERM" in stack.log("redis")
        assert stack.processes() == []
