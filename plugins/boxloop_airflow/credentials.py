"""The service account's key for gs://, from an Airflow connection.

The connection is named by BOXLOOP_GCS_CONNECTION, of type `google_cloud_platform`, with a
`keyfile_dict` or a `key_path`. Without the setting, or where the connection has neither, Google's
application default credentials are used. The key is looked up when a process first touches gs://,
reaches the processes that tasks start by their environment alone, and is never written or logged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONNECTION = "BOXLOOP_GCS_CONNECTION"
_PREFIX = "extra__google_cloud_platform__"  # of the fields in connections of older releases


def find_key() -> Mapping[str, Any] | None:
    """Return the key of the connection that the environment names, None where there is none.

    Raises:
        ValueError: if the connection is of another type, or what it holds is no key.
    """
    name = os.environ.get(CONNECTION)
    if not name:
        return None
    from airflow.sdk import Connection

    connection = Connection.get(name)
    if connection.conn_type != "google_cloud_platform":
        raise ValueError(
            f"{CONNECTION}: the connection {name!r} is of type {connection.conn_type!r}; it must "
            "be google_cloud_platform"
        )
    extra = {key.removeprefix(_PREFIX): value for key, value in connection.extra_dejson.items()}
    given = extra.get("keyfile_dict")
    if not given and (path := extra.get("key_path")):
        given = Path(path).read_text()
    return _parse(given, name) if given else None


def _parse(given: Any, name: str) -> Mapping[str, Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:  # its text shows what it could not read: part of the key
            given = None
    if not isinstance(given, Mapping) or given.get("type") != "service_account":
        raise ValueError(
            f"{CONNECTION}: the connection {name!r} holds no service account's key; give it the "
            "JSON that Google gives out, as keyfile_dict, or the path of that file as key_path"
        )
    return given
