import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from boxloop_airflow import alerts


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOXLOOP_ROOT", str(tmp_path))
    monkeypatch.delenv(alerts.URL, raising=False)
    return tmp_path


@pytest.fixture
def answers() -> threading.Event:
    """Says that the webhook answers; it waits for this."""
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def posted(
    monkeypatch: pytest.MonkeyPatch, answers: threading.Event
) -> Iterator[list[dict[str, Any]]]:
    """What a webhook was sent."""
    found: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answers.wait(60)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(alerts.URL, f"http://127.0.0.1:{server.server_port}/hook")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield found
        answers.set()
        server.shutdown()


def context(**changes: Any) -> dict[str, Any]:
    ti = {
        "dag_id": "nightly_retraining",
        "run_id": "scheduled__2026-11-22",
        "task_id": "round.train",
        "map_index": 1,
        "try_number": 3,
        "log_url": "http://airflow/log",
    }
    return {"ti": SimpleNamespace(**(ti | changes)), "exception": RuntimeError("no memory left")}


def test_a_failure_is_told_with_task_round_try_and_log(
    posted: list[dict[str, Any]], root: Path
) -> None:
    alerts.alert_failure(context())
    (alert,) = posted
    assert (alert["task"], alert["round"], alert["try"]) == ("round.train", 2, 3)
    assert (alert["log"], alert["error"]) == ("http://airflow/log", "no memory left")
    assert alert["text"] == (
        "round.train failed in round 2 of nightly_retraining, run scheduled__2026-11-22, try 3: "
        "no memory left"
    )
    (path,) = (root / "alerts").iterdir()
    assert json.loads(path.read_text()) == alert


def test_a_task_outside_of_rounds_has_none(root: Path) -> None:
    alerts.alert_failure(context(task_id="take_in", map_index=-1))
    (path,) = (root / "alerts").iterdir()
    assert json.loads(path.read_text())["round"] is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "file:///etc/passwd", "nonsense"])
def test_a_webhook_that_cannot_be_reached_does_no_harm(
    url: str, monkeypatch: pytest.MonkeyPatch, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(alerts.URL, url)
    alerts.alert_failure(context())
    assert "did not reach" in caplog.text
    assert len(list((root / "alerts").iterdir())) == 1


@pytest.mark.usefixtures("posted")
def test_a_slow_webhook_is_given_up(
    answers: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "SECONDS", 0.5)
    answers.clear()
    started = time.monotonic()
    alerts.alert_failure(context())
    assert time.monotonic() - started < 30
    assert "did not reach the webhook" in caplog.text


def test_the_webhooks_address_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(alerts.URL, "http://127.0.0.1:no-port/secret-token")
    alerts.alert_failure(context())
    assert "did not reach the webhook: InvalidURL" in caplog.text
    assert "no-port" not in caplog.text
    assert "secret-token" not in caplog.text


def test_a_target_that_hangs_is_given_up_and_the_other_is_told(
    monkeypatch: pytest.MonkeyPatch, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "SECONDS", 3)
    monkeypatch.setattr(alerts, "_post", lambda _: threading.Event().wait(60))
    started = time.monotonic()
    alerts.alert_failure(context())
    assert time.monotonic() - started < 30
    assert "no answer within 3 s" in caplog.text
    assert len(list((root / "alerts").iterdir())) == 1


def test_an_alert_lies_below_the_runs_own_root(root: Path, tmp_path: Path) -> None:
    alerts.alert_failure(context() | {"params": {"artifact_root": str(tmp_path / "other")}})
    assert len(list((tmp_path / "other" / "alerts").iterdir())) == 1
    assert not (root / "alerts").exists()


def test_a_broken_context_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    alerts.alert_failure({})
    assert "could not be made" in caplog.text


def test_a_late_run_is_told_of(root: Path) -> None:
    run = {"dag_run_id": "n1", "dag_id": "nightly_retraining"}
    asyncio.run(alerts.alert_late(context={"dag_run": run}, hours=6.0))
    alert = json.loads((root / "alerts" / "nightly_retraining-n1-late.json").read_text())
    assert alert["text"] == (
        "nightly_retraining is late: the run n1 is not done 6 h after it was queued"
    )
