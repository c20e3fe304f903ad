"""Every route of every page, whatever is added: its right, its headers, and its silence."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Airflow imports FastAPI's client
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx`")

EVERYBODY = {"/static/{name}", "/experiments", "/experiments/list"}
"""Routes of no DAG: whoever is logged in; `test_app.py` of the page tells what they get."""
HEADERS = {
    "content-security-policy": "frame-ancestors 'self'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def apps() -> dict[str, Any]:
    """Return the applications behind all plugins, by the module of the page."""
    found = {}
    for path in sorted((Path(__file__).parents[2] / "plugins").glob("*.py")):
        module = importlib.import_module(path.stem)
        for name, value in vars(module).items():
            for served in getattr(value, "fastapi_apps", ()) if name.endswith("Plugin") else ():
                page = f"{served['url_prefix'].removeprefix('/').replace('-', '_')}"
                package = page.replace("boxloop_", "")
                candidates = (
                    f"boxloop_airflow.{package}.app",
                    f"boxloop_airflow.{package}_page.app",
                )
                found[path.stem] = next(filter(None, map(_app, candidates)))
    return found


def _app(module: str) -> Any:
    try:
        return importlib.import_module(module).app
    except ModuleNotFoundError:
        return None


def routes() -> Iterator[tuple[str, Any]]:
    from fastapi.routing import APIRoute

    for name, app in apps().items():
        for route in app.routes:
            assert isinstance(route, APIRoute), f"{name}: {route} asks nobody for leave"
            yield name, route


def demanded(route: Any) -> list[Any]:
    """Return all that a route depends on, and what that depends on."""
    waiting, found = [route.dependant], []
    while waiting:
        each = waiting.pop()
        found.append(each.call)
        waiting += each.dependencies
    return found


def rights(route: Any) -> list[tuple[str, str]]:
    """Return method and entity of the rights to a DAG that a route demands."""
    found = []
    for call in demanded(route):
        if getattr(call, "__qualname__", "").startswith("requires_access_dag."):
            cells = dict(
                zip(
                    call.__code__.co_freevars,
                    (c.cell_contents for c in call.__closure__),
                    strict=True,
                )
            )
            found.append((str(cells["method"]), str(getattr(cells["access_entity"], "name", ""))))
    return found


def test_the_pages_are_those_that_are_known() -> None:
    assert set(apps()) == {"review_page", "rounds_page"}
    assert len(list(routes())) >= 14


def test_every_route_of_a_dag_demands_a_right_to_that_dag() -> None:
    for name, route in routes():
        if route.path in EVERYBODY:
            continue
        where = f"{name}: {route.path}"
        assert route.path.startswith("/dags/{dag_id}/runs/{run_id}"), where
        assert ("GET", "RUN") in rights(route), where


def test_every_route_demands_that_somebody_is_logged_in() -> None:
    from airflow.api_fastapi.core_api.security import get_user

    for name, route in routes():
        assert get_user in demanded(route), f"{name}: {route.path}"


def test_every_route_that_changes_anything_demands_more_and_comes_from_the_page_itself() -> None:
    from boxloop_airflow.pages.rights import check_sender

    changing = [(name, route) for name, route in routes() if route.methods - {"GET", "HEAD"}]
    assert sorted(route.path.rpartition("/")[2] for _, route in changing) == ["decisions", "rerun"]
    for name, route in changing:
        where = f"{name}: {route.path}"
        assert route.methods == {"POST"}, where
        assert check_sender in demanded(route), where
        assert [entity for method, entity in rights(route) if method == "PUT"], where


def test_every_route_refuses_strangers_and_answers_with_all_headers() -> None:
    from fastapi.testclient import TestClient

    for name, route in routes():
        client = TestClient(apps()[name], raise_server_exceptions=False)
        path = route.path.format(dag_id="d", run_id="r", number=1, name="x.js")
        body = {"headers": {"Content-Type": "application/json"}, "content": b"{}"}
        sent = body if "POST" in route.methods else {}
        answer = client.request("POST" if sent else "GET", path, **sent)  # type: ignore[arg-type]
        assert answer.status_code == 401, f"{name}: {path}: {answer.status_code}"
        _check_headers(answer, f"{name}: {path}")


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nowhere", b"", 404),
        ("GET", "/openapi.json", b"", 404),
        ("GET", "/docs", b"", 404),
        ("PUT", "/dags/d/runs/r", b"", 405),
        ("POST", "/dags/d/runs/r/rerun", b"x" * 2_000_000, 413),
    ],
)
def test_every_other_answer_has_the_headers_too(
    method: str, path: str, content: bytes, status: int
) -> None:
    from fastapi.testclient import TestClient

    for name, app in apps().items():
        answer = TestClient(app).request(method, path, content=content)
        assert answer.status_code == status, name
        _check_headers(answer, name)


def test_an_answer_that_fails_has_the_headers_too_and_tells_nothing() -> None:
    from fastapi.testclient import TestClient

    from boxloop_airflow.pages.app import make_app

    app = make_app("fails", largest_body=1)

    @app.get("/")
    def fail() -> None:
        raise OSError("gs://bucket/secret cannot be read")

    answer = TestClient(app).get("/")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    _check_headers(answer, "fails")


def _check_headers(answer: Any, where: str) -> None:
    for header, wanted in HEADERS.items():
        assert wanted in answer.headers[header], f"{where}: {header}"
    assert answer.headers["cache-control"] in ("no-store", "private, no-cache"), where
