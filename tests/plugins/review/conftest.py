"""Airflow's real web server with the review page, and a run that waits for people."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from tests.plugins.review.runs import RUN_ID, make_run
from tests.plugins.site import log_in, serve

from boxloop import storage
from boxloop.artifacts import Run

POOL = 60


class Site(NamedTuple):
    """A web server, and the run that it knows of."""

    url: str
    run: Run

    @property
    def page(self) -> str:
        """Path of the review page."""
        return f"/boxloop-review/dags/active_learning/runs/{quote(RUN_ID, safe='')}"

    @cache  # noqa: B019 (there is one)
    def login(self, name: str) -> str:
        """Return a user's token, as logging in with a password gives it."""
        return log_in(self.url, name)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("review")
    run = make_run(folder, pool=POOL)
    specs = json.dumps([{"run_uri": run.uri, "round_number": number} for number in (2, 1)])
    with serve("tests.plugins.review.serve", specs, folder / "home") as url:
        yield Site(url, run)


@pytest.fixture
def fresh(site: Site) -> Iterator[Site]:
    """The site, and nobody has decided anything."""
    yield site
    storage.delete_folder(site.run.decisions(1))
    storage.delete(site.run.closed_review(1))


def decisions(run: Run) -> list[dict[str, Any]]:
    """Return what has been recorded, oldest first."""
    return [storage.read_json(uri) for uri in storage.list_files(run.decisions(1))]
