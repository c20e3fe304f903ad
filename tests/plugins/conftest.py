"""What stands in for a running Airflow, and for the services that run jobs."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from boxloop_airflow.launchers import Job


class Store(dict[str, Any]):
    """Airflow's task state store, and how often it was written to."""

    writes = 0

    def set(self, key: str, value: Any) -> None:
        self.writes += 1
        self[key] = json.loads(json.dumps(value, allow_nan=False))

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Request(NamedTuple):
    """What a client has sent."""

    route: str
    """Method and path."""
    query: dict[str, list[str]]
    body: Any


class Service:
    """A service on this machine, for a real client.

    Attributes:
        answers: route to status and content, which is JSON or bytes; or to a function that gives
            them. All other routes are not found.
        requests: in their order.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.answers: dict[str, tuple[int, Any] | Callable[[Request], tuple[int, Any]]] = {}
        self.requests: list[Request] = []

    def answer(self, request: Request) -> tuple[int, bytes]:
        self.requests.append(request)
        answer = self.answers.get(request.route, (404, {"message": f"no {request.route}"}))
        status, content = answer(request) if callable(answer) else answer
        return status, content if isinstance(content, bytes) else json.dumps(content).encode()

    def sent(self, route: str) -> list[Request]:
        """Return the requests to a route."""
        return [request for request in self.requests if request.route == route]


@pytest.fixture
def service() -> Iterator[Service]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.service = Service(server.server_port)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.service  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def job() -> Job:
    """What the operator launches, of a run in a bucket."""
    arguments = ["-m", "boxloop", "step", "train", "--run", "gs://bucket/runs/demo", "--round", "2"]
    return Job(
        name="boxloop-demo-02-0a1b2c3d",
        arguments=arguments,
        run_uri="gs://bucket/runs/demo",
        environment={"BOXLOOP_HEARTBEAT": "gs://bucket/runs/demo/round_02/train.heartbeat"},
        owner={
            "dag_id": "active_learning",
            "run_id": "manual__2026-11-22T18:00:00+00:00",
            "task_id": "round.train",
            "map_index": "1",
            "try_number": "1",
        },
    )


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        body = json.loads(self.rfile.read(length) or "null")
        request = Request(f"{self.command} {parts.path}", parse_qs(parts.query), body)
        status, content = self.server.service.answer(request)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass
