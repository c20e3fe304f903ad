"""Redis as docker-compose.yaml starts it, alone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deployment import compose
from tests.deployment.stack import Stack

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="apt-get install redis-server"
)
CLIENT = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli -p 6379'


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    services = {"redis": compose.services({}, ())["redis"]}
    venv = Path(sys.executable).parents[1]
    with Stack(tmp_path, services, venv=venv, emulator=venv) as stack:
        stack.wait_until_healthy("redis")
        yield stack


def test_redis_asks_for_the_password_and_is_told_to_end(stack: Stack) -> None:
    port = stack.services["redis"].check[-1].split("-p ")[1].split()[0]
    assert "NOAUTH" in stack.run("redis", "redis-cli", "-p", port, "ping").stdout
    assert stack.end("redis") == 0
    assert "Received SIGTERM" in stack.log("redis")
    assert stack.processes() == []


def test_redis_keeps_what_is_queued_when_it_is_killed(stack: Stack) -> None:
    stack.run("redis", "sh", "-c", f"{CLIENT} lpush default task")
    stack.kill("redis")
    assert stack.processes() == []
    assert stack.revive() == ["redis"]
    stack.wait_until_healthy("redis")
    assert stack.run("redis", "sh", "-c", f"{CLIENT} lrange default 0 -1").stdout == "task\n"
