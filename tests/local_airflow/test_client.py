import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from boxloop.local_airflow import client as module
from boxloop.local_airflow.client import AirflowClient


class Api:
    """Answers of a web server, by request, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.requests: list[tuple[str, Any]] = []
        self.tokens = 0


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Api, AirflowClient]]:
    """A real server on this machine that answers as Airflow does, and a client of it."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/auth/token":
                api.tokens += 1
                self.answer(201, {"access_token": f"token {api.tokens}"})
                return
            length = int(self.headers.get("Content-Length") or 0)
            request = f"{self.command} {self.path.removeprefix('/api/v2')}"
            api.requests.append((request, json.loads(self.rfile.read(length) or "null")))
            answers = api.answers[request]
            self.answer(*(answers.pop(0) if len(answers) > 1 else answers[0]))

        do_POST = do_PATCH = do_GET  # noqa: N815 (the names that the base class calls)

        def answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with AirflowClient(f"http://127.0.0.1:{server.server_address[1]}") as client:
            yield api, client
        server.shutdown()


def test_a_call_is_repeated_while_the_server_stumbles(api: tuple[Api, AirflowClient]) -> None:
    server, client = api
    server.answers["GET /dags/d/dagRuns/r"] = [(503, {}), (500, {}), (200, {"state": "running"})]
    assert client.run_state("d", "r") == "running"
    assert len(server.requests) == 3


def test_a_forgotten_token_is_fetched_anew(api: tuple[Api, AirflowClient]) -> None:
    server, client = api
    server.answers["GET /dags/d"] = [(401, {}), (200, {})]
    assert client.has_dag("d")
    assert server.tokens == 2


def test_a_refused_call_says_what_the_server_said(api: tuple[Api, AirflowClient]) -> None:
    server, client = api
    server.answers["POST /dags/d/dagRuns"] = [(422, {"detail": "rounds must be >= 1"})]
    with pytest.raises(RuntimeError, match="rounds must be >= 1"):
        client.trigger("d", "r", {"rounds": 0})
    assert len(server.requests) == 1


def test_a_trigger_that_got_through_twice_is_one_run(api: tuple[Api, AirflowClient]) -> None:
    server, client = api
    server.answers["POST /dags/d/dagRuns"] = [(500, {}), (409, {"detail": "exists"})]
    client.trigger("d", "r", {"seed": 2})
    body = {"dag_run_id": "r", "logical_date": None, "conf": {"seed": 2}}
    assert server.requests == [("POST /dags/d/dagRuns", body)] * 2


def test_all_pages_of_task_instances_are_read(api: tuple[Api, AirflowClient]) -> None:
    server, client = api
    path = "GET /dags/d/dagRuns/r/taskInstances?limit=100&offset={}&order_by=id"
    first = [{"id": number} for number in range(100)]
    server.answers[path.format(0)] = [(200, {"task_instances": first, "total_entries": 101})]
    last = {"task_instances": [{"id": 100}], "total_entries": 101}
    server.answers[path.format(100)] = [(200, last)]
    assert [i["id"] for i in client.task_instances("d", "r")] == list(range(101))


def test_a_task_without_stored_state_has_none(api: tuple[Api, AirflowClient]) -> None:
    server, client = api
    instance = {"dag_id": "d", "dag_run_id": "r", "task_id": "round.train", "map_index": 2}
    path = "GET /dags/d/dagRuns/r/taskInstances/round.train/state-store/progress?map_index=2"
    server.answers[path] = [(404, {}), (200, {"value": {"step": 3}})]
    assert client.task_state(instance, "progress") is None
    assert client.task_state(instance, "progress") == {"step": 3}


@pytest.mark.parametrize(
    ("tasks", "body"),
    [
        (None, {"only_failed": True}),
        (
            [("round.train", 1), "report"],
            {"only_failed": False, "task_ids": [["round.train", 1], "report"]},
        ),
    ],
    ids=["what failed", "named"],
)
def test_clear(api: tuple[Api, AirflowClient], tasks: Any, body: dict[str, Any]) -> None:
    server, client = api
    server.answers["POST /dags/d/clearTaskInstances"] = [(200, {"total_entries": 2})]
    assert client.clear("d", "r", tasks) == 2
    assert server.requests[0][1] == {"dag_run_id": "r", "dry_run": False, **body}


def test_a_log_line_names_the_cause_of_a_failure(api: tuple[Api, AirflowClient]) -> None:
    server, client = api
    instance = {"dag_id": "d", "dag_run_id": "r", "task_id": "t", "map_index": -1, "try_number": 2}
    cause = {"exc_type": "ValueError", "exc_value": "no images"}
    content = [
        {"event": "::group::Pre Execute"},
        {"event": "starting"},
        {"event": "Task failed", "error_detail": [cause]},
    ]
    path = "GET /dags/d/dagRuns/r/taskInstances/t/logs/2?map_index=-1&full_content=true"
    server.answers[path] = [(200, {"content": content})]
    assert client.log_lines(instance) == ["starting", "Task failed\nValueError: no images"]


@pytest.mark.parametrize(("scheduler", "is_healthy"), [("healthy", True), ("unhealthy", False)])
def test_healthy_means_every_part(
    api: tuple[Api, AirflowClient], scheduler: str, is_healthy: bool
) -> None:
    server, client = api
    parts = ("metadatabase", "triggerer", "dag_processor")
    health = {part: {"status": "healthy"} for part in parts}
    health["scheduler"] = {"status": scheduler}
    server.answers["GET /monitor/health"] = [(200, health)]
    assert client.is_healthy() is is_healthy


def test_a_server_that_is_not_there_is_not_healthy() -> None:
    with AirflowClient("http://127.0.0.1:9") as client:
        assert not client.is_healthy()
