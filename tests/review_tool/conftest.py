"""A run that asks about three images, and a folder for them to go out to."""

import getpass
from pathlib import Path

import pytest
from tests.reviews import make_run

from boxloop.artifacts import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("BOXLOOP_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(getpass, "getuser", lambda: "otto")
    return make_run(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"
