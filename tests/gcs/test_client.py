"""Whose key is used, and that nobody else sees it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from boxloop import storage
from boxloop.child import Child
from boxloop.gcs import client
from boxloop_airflow import credentials

SECRET = "c2VjcmV0"
ASKS = """
from boxloop.gcs import client
print(client.client()._credentials.service_account_email)
"""


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No emulator, and no credentials but those of a test."""
    for name in ("STORAGE_EMULATOR_HOST", client.KEY, credentials.CONNECTION):
        monkeypatch.delenv(name, raising=False)
    client.close()
    yield
    client.close()


@pytest.fixture(scope="module")
def key() -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "type": "service_account",
        "project_id": "photos",
        "private_key": pem.decode(),
        "private_key_id": SECRET,
        "client_email": "boxloop@photos.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def connect(
    monkeypatch: pytest.MonkeyPatch, extra: Any, conn_type: str = "google_cloud_platform"
) -> None:
    value = json.dumps({"conn_type": conn_type, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_BOXLOOP_GCS", value)
    monkeypatch.setenv(credentials.CONNECTION, "boxloop_gcs")


@pytest.mark.parametrize("form", ["text", "object", "file", "old name"])
def test_the_key_of_an_airflow_connection_is_used(
    monkeypatch: pytest.MonkeyPatch, key: dict[str, Any], form: str, tmp_path: Any
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(key))
    extra = {
        "text": {"keyfile_dict": json.dumps(key)},
        "object": {"keyfile_dict": key},
        "file": {"key_path": str(tmp_path / "key.json")},
        "old name": {"extra__google_cloud_platform__keyfile_dict": json.dumps(key)},
    }[form]
    connect(monkeypatch, extra)
    assert client.client()._credentials.service_account_email == key["client_email"]
    assert client.client().project == "photos"


def test_what_a_task_starts_has_the_key_too_and_nobody_sees_it(
    monkeypatch: pytest.MonkeyPatch, key: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    connect(monkeypatch, {"keyfile_dict": json.dumps(key)})
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    lines: list[str] = []
    command = [sys.executable, "-c", ASKS]
    with caplog.at_level("DEBUG"):
        assert Child(command).run(lines.append) == 0
    assert lines[-1] == key["client_email"]
    told = "\n".join([*lines, *command, caplog.text])
    assert SECRET not in told
    assert "PRIVATE KEY" not in told


@pytest.mark.parametrize(
    ("extra", "conn_type", "message"),
    [
        ({"keyfile_dict": "{not json " + SECRET}, "google_cloud_platform", "holds no service"),
        ({"keyfile_dict": {"type": "authorized_user"}}, "google_cloud_platform", "holds no"),
        ({}, "aws", "must be google_cloud_platform"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, extra: Any, conn_type: str, message: str
) -> None:
    connect(monkeypatch, extra, conn_type)
    with pytest.raises(ValueError, match=message) as caught:
        storage.exists("gs://bucket/a")
    assert SECRET not in str(caught.value)


def test_a_key_that_is_spoilt_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, key: dict[str, Any]
) -> None:
    spoilt = {**key, "private_key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n"}
    monkeypatch.setenv(client.KEY, json.dumps(spoilt))
    with pytest.raises(ValueError, match="is not one") as caught:
        storage.exists("gs://bucket/a")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    monkeypatch.setenv(client.KEY, SECRET)
    with pytest.raises(ValueError, match="must be the JSON text") as caught:
        storage.exists("gs://bucket/a")
    assert SECRET not in str(caught.value)


def test_without_a_connection_the_application_default_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert credentials.find_key() is None
    connect(monkeypatch, {})
    assert credentials.find_key() is None
    assert storage.key_environment() == {}


def test_a_process_that_was_forked_makes_a_client_of_its_own() -> None:
    code = """if True:
        import os
        from boxloop.gcs import client
        ours = client.client()
        if os.fork() == 0:
            os._exit(client.client() is ours)
        raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    env = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9", "PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env).returncode == 0
