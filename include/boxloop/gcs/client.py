"""The client of Google Cloud Storage: one a process, with credentials and patience.

Credentials are Google's application default ones, or a service account's key: in the environment
variable BOXLOOP_GCS_KEY, as JSON, or from whoever has called `use_key`.

Source: https://cloud.google.com/storage/docs/retry-strategy
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from boxloop.json_text import json_object

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.storage import Bucket, Client

KEY = "BOXLOOP_GCS_KEY"
PATIENCE = "BOXLOOP_GCS_PATIENCE"
TIMEOUT = "BOXLOOP_GCS_TIMEOUT"
THREADS = 16
"""Requests under way at once, at the most, of one call."""
_ATTEMPTS = 3  # at a transfer whose bytes arrive changed
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"

T = TypeVar("T")
_one_maker = threading.Lock()
log = logging.getLogger(__name__)
_find_key: list[Callable[[], Mapping[str, Any] | None]] = []


def use_key(find: Callable[[], Mapping[str, Any] | None]) -> None:
    """Let a function find the service account's key when the client is first needed.

    Args:
        find: returns the key as Google's JSON file has it; None: application default credentials.
    """
    _find_key[:] = [find]


def key_environment() -> dict[str, str]:
    """Return what a process started from here needs in its environment to reach the bucket too."""
    key = _found_key()
    return {KEY: json.dumps(dict(key))} if key else {}


def locate(uri: str) -> tuple[Bucket, str]:
    """Return the bucket of a gs:// URI, and the name within it."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return client().bucket(bucket), name


def client() -> Client:
    """Return this process's client; connections are not shared with those it is forked from."""
    with _one_maker:
        return _client(os.getpid())


def close() -> None:
    """Forget the client: the next call makes another, of what the environment then says."""
    if _client.cache_info().currsize:
        client().close()
    _client.cache_clear()


def options() -> dict[str, Any]:
    """Return retry and timeout for every call: the library's own policy, for as long as is set.

    Each call of this package can be done twice with the same outcome, so each is retried, also
    those that the library by itself retries only under a precondition.
    """
    return {"retry": _retry(), "timeout": _seconds(TIMEOUT, 60.0)}


def insist(work: Callable[[], T], uri: str) -> T:
    """Do a transfer, and do it again if its bytes were changed on their way.

    All else that may pass is retried by the library, call by call.

    Raises:
        OSError: if they are changed each time.
    """
    from google.cloud.storage.exceptions import DataCorruption

    for left in reversed(range(_ATTEMPTS)):
        try:
            return work()
        except Exception as error:
            is_changed = isinstance(error, DataCorruption) or _is_refused_sum(error)
            if not is_changed:
                raise
            if not left:
                raise OSError(
                    f"{uri}: its bytes were changed on their way {_ATTEMPTS} times: its CRC32C "
                    "is another one than the bucket's; look at the network or a proxy in between"
                ) from error
            log.warning("%s: its bytes were changed on their way; once more", uri)
    raise AssertionError("unreachable")


def _is_refused_sum(error: Exception) -> bool:
    """Whether the bucket has refused an upload since its bytes are not those of its check sum."""
    return getattr(error, "code", None) == 400 and "CRC32C" in str(error)


@cache
def _retry() -> Retry:
    from google.cloud.storage.retry import DEFAULT_RETRY

    policy: Retry = DEFAULT_RETRY.with_timeout(_seconds(PATIENCE, 120.0))
    return policy


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise ValueError(f"{name} must be a number of seconds above 0, got {text!r}")
    return value


@cache
def _client(process_id: int) -> Client:
    from google.cloud.storage import Client

    del process_id
    key = None if os.environ.get("STORAGE_EMULATOR_HOST") else _found_key()
    made = Client(credentials=_credentials(key), project=key.get("project_id")) if key else Client()
    _widen(made)
    return made


def _found_key() -> Mapping[str, Any] | None:
    text = os.environ.get(KEY)
    if not text:
        return _find_key[0]() if _find_key else None
    key = json_object(text)
    if key is None:
        raise ValueError(f"{KEY} must be the JSON text of a service account's key; it is not")
    return key


def _credentials(key: Mapping[str, Any]) -> Any:
    from google.oauth2.service_account import Credentials

    try:
        make: Any = Credentials.from_service_account_info
        return make(dict(key), scopes=[_SCOPE])
    except ValueError:  # its text may show part of the key
        raise ValueError(
            "the service account's key for gs:// is not one: it needs the fields of the JSON file "
            "that Google gives out, client_email, private_key and token_uri among them"
        ) from None


def _widen(made: Client) -> None:
    """Keep a connection for each thread; the library keeps ten and opens the others anew."""
    from requests.adapters import HTTPAdapter

    for scheme in ("https://", "http://"):
        made._http.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=4 * THREADS))
