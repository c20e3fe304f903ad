"""The secrets that docker/secrets.sh writes, and that they stay here."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.deployment import compose
from tests.deployment.compose import PROJECT


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "secrets"
    subprocess.run(["/bin/sh", "docker/secrets.sh", folder], cwd=PROJECT, check=True)
    yield folder
    folder.chmod(stat.S_IRWXU)


def test_every_secret_is_made_at_random_and_kept(secrets: Path) -> None:
    files = compose.fill(compose.read()["secrets"], {}).values()
    declared = {Path(each["file"]).name for each in files}
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    assert set(made) == declared - {"no-key.json"}  # nobody's
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch(r"[\w=-]{24,}", value) for value in made.values())
    subprocess.run(["/bin/sh", "docker/secrets.sh", secrets], cwd=PROJECT, check=True)
    assert {path.name: path.read_text() for path in secrets.iterdir()} == made


def test_the_fernet_key_is_one(secrets: Path) -> None:
    from cryptography.fernet import Fernet

    key = Fernet((secrets / "fernet_key").read_text())
    assert key.decrypt(key.encrypt(b"login")) == b"login"


def test_others_on_this_machine_cannot_open_the_folder_of_secrets(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", [".gitignore", ".dockerignore"])
def test_secrets_that_the_page_has_people_write_are_ignored(name: str) -> None:
    page = (PROJECT / "docs" / "deployment.md").read_text()
    told = re.findall(r"--from-file=[\w-]+=(\S+)|> ([\w.]+)`|--env-file (\w+\.env)", page)
    files = {text for each in told for text in each if text}
    assert len(files) == 5
    lines = (PROJECT / name).read_text().splitlines()
    ignored = [line.removeprefix("**/").rstrip("/") for line in lines]
    for file in files:
        assert any(fnmatch(file, line) or file.startswith(f"{line}/") for line in ignored), file
    assert "docker/secrets.sh " not in page  # without a folder: into docker/secrets
