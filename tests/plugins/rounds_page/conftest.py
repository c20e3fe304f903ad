"""Airflow's real web server with the Rounds page, and runs in every state."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from tests.plugins.rounds_page.runs import HIDDEN, make_data, make_run
from tests.plugins.site import log_in, serve

from boxloop import storage
from boxloop.artifacts import Run

DAG = "active_learning"
LONG = "manual__2026-11-23T01:00:00+00:00"
AUTH = {"AIRFLOW__CORE__AUTH_MANAGER": "tests.plugins.rounds_page.auth.Auth"}


class Site(NamedTuple):
    """A web server, and where its runs lie."""

    url: str
    root: Path

    def page(self, run_id: str, dag_id: str = DAG) -> str:
        """Return the path of the page of a run."""
        return f"/boxloop-rounds/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def run(self, name: str) -> Run:
        """Return the artifacts of a run."""
        return Run.of(str(self.root), name)

    @cache  # noqa: B019 (there is one)
    def login(self, name: str) -> str:
        """Return a user's token, as logging in with a password gives it."""
        return log_in(self.url, name)

    def ask(self, path: str, user: str | None = "uma", **headers: str) -> httpx.Response:
        """Get a path below the site."""
        headers |= {"Authorization": f"Bearer {self.login(user)}"} if user else {}
        return httpx.get(self.url + path, headers=headers, trust_env=False, timeout=30)

    def tell(
        self, path: str, value: Any, user: str | None = "uma", **headers: str
    ) -> httpx.Response:
        """Post JSON to a path below the site."""
        headers |= {"Authorization": f"Bearer {self.login(user)}"} if user else {}
        url = self.url + path
        return httpx.post(url, json=value, headers=headers, trust_env=False, timeout=30)

    def state(self, run_id: str, **query: str) -> dict[str, Any]:
        """Return what the page of a run is told."""
        params = "&".join(f"{key}={value}" for key, value in query.items())
        answer = self.ask(f"{self.page(run_id)}/state?{params}")
        return dict(answer.raise_for_status().json())


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("rounds")) as site:
        yield site


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Serve runs in every state, made in an empty folder; one of fifty rounds among them."""
    root, outside = folder / "root", folder / "outside"
    root.mkdir()
    source = make_data(root)
    made = {
        "long": make_run(root, "long", source, rounds=50, done=49, classes=14),
        "done": make_run(root, "done", source, rounds=2, done=2),
        "redo": make_run(root, "redo", source, rounds=2, done=2),
        "early": make_run(root, "early", source, rounds=4, done=2),
        "shared": make_run(root, "shared", source, rounds=3, done=3),
        "ending": make_run(root, "ending", source, rounds=2, done=2),
        "broken": make_run(root, "broken", source, rounds=2, done=2),
        "mended": make_run(root, "mended", source, rounds=2, done=2),
        "fresh": Run.of(str(root), "fresh"),
        "outside": make_run(outside, "outside", source, rounds=2, done=2),
    }
    for name in ("broken", "mended"):
        storage.write_bytes(made[name].summary(2), b"{")
    last = made["early"].summary(2)
    storage.write_json(last, {**storage.read_json(last), "pool": 0})
    runs = [
        _row("fresh", Run(""), state="running", rounds=0, done=0),
        _row("early", made["early"], state="success", rounds=4, done=2, then="skipped"),
        _row("outside", made["outside"], state="success", rounds=2, done=2),
        _row("redo", made["redo"], state="success", rounds=2, done=2),
        _row("ending", made["ending"], state="failed", rounds=2, done=2, ending=True),
        _row("broken", made["broken"], state="success", rounds=2, done=2),
        _row("mended", made["mended"], state="success", rounds=2, done=2),
        _row("two", made["shared"], state="success", rounds=2, done=2),
        _row("three", made["shared"], state="success", rounds=3, done=3),
        _row("same-as-long", made["long"], state="success", rounds=50, done=48, then="failed"),
        _row("done", made["done"], state="success", rounds=2, done=2),
        _row("hidden", made["done"], dag_id=HIDDEN, state="success", rounds=2, done=2),
        _row("plain", Run(""), dag_id="other", state="success", rounds=0, done=0),
        _row(LONG, made["long"], state="running", rounds=50, done=49, predicts=3, working=True),
    ]
    path = root / "runs.json"
    path.write_text(json.dumps(runs))
    with serve("tests.plugins.rounds_page.serve", str(path), root / "home", AUTH) as url:
        yield Site(url, root)


def _row(run_id: str, run: Run, *, dag_id: str = DAG, **facts: Any) -> dict[str, Any]:
    return {"dag_id": dag_id, "run_id": run_id, "run_uri": run.uri, **facts}
