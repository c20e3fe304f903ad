"""Files from a network, fetched once: verified by sha256, cached under it, resumed when cut off."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import httpx

from boxloop import storage
from boxloop.borders import masked
from boxloop.caches import cache_root

log = logging.getLogger(__name__)

LARGEST = 4 * 2**30
"""Bytes of the largest file that is fetched."""
PAUSES = (1.0, 4.0, 15.0)
"""Seconds between attempts of which none brings a byte; one that does is followed at once."""

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_PATIENCE = httpx.Timeout(30.0)  # seconds without a byte
_REPORT_EVERY = 5.0  # seconds


def cache_folder() -> Path:
    """Return where weights are kept: below $BOXLOOP_CACHE, $XDG_CACHE_HOME or ~/.cache."""
    return cache_root() / "weights"


def is_network(source: str) -> bool:
    """Whether a source is an address and not a local path."""
    return "://" in source


def check_source(source: str, sha256: str | None) -> None:
    """Raise ValueError if `fetch` would refuse this source before reading it."""
    scheme = source.partition("://")[0]
    if not is_network(source):
        return
    if scheme not in ("https", "http", "gs"):
        raise ValueError(f"{masked(source)}: there is https://, gs:// or a path, got {scheme}://")
    if "://***@" in masked(source):
        raise ValueError(
            f"{masked(source)}: an address with a login would be written into experiment.yaml for "
            "all to read; fetch the file yourself and name its path"
        )
    if sha256 is None:
        show = "gcloud storage cat" if scheme == "gs" else "curl -L"
        raise ValueError(
            f"{masked(source)}: a file from a network is not used without its sha256. If you trust "
            f"the address, set sha256 to what `{show} {masked(source)} | sha256sum` prints"
        )


def fetch(source: str, sha256: str | None, cache: Path) -> Path:
    """Return a local file with what is at `source`, whole and verified.

    Safe where several processes ask for the same file: one fetches, the others wait. What a cut
    connection or a killed process leaves is taken up where it ended.

    Args:
        source: https://, http:// or gs:// address, or a local path, which is returned as it is.
        sha256: of the file, in hexadecimal digits; needed for an address.
        cache: folder that keeps what was fetched, under its sha256.

    Raises:
        ValueError: if trying again cannot help: no such file, another sha256, too large.
        FileNotFoundError: if there is no such object on gs://.
        ConnectionError: if the server cannot be reached.
    """
    check_source(source, sha256)
    path = cache / str(sha256) if is_network(source) else Path(source).expanduser()
    if is_network(source):
        cache.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(path):
            if not path.exists() or digest(path) != sha256:
                _fetch_anew(source, str(sha256), path)
    elif sha256 is not None:
        verify(path, sha256, where=source)
    return path


def digest(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, sha256: str, *, where: str) -> None:
    """Raise ValueError if a file is missing or has another sha256; `where` is its name."""
    if not path.is_file():
        raise ValueError(
            f"{masked(where)}: there is no such file, so its sha256 cannot be compared"
        )
    found = digest(path)
    if found != sha256:
        raise ValueError(
            f"{masked(where)} has sha256 {found}, expected {sha256}: it is another file, or was "
            "changed; correct the setting only if you trust what you find there"
        )


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock that the system lets go of when this process dies."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_anew(source: str, sha256: str, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    log.info("Fetching %s", masked(source))
    try:
        was_resumed = _receive(source, part)
        if was_resumed and digest(part) != sha256:  # its pieces may be of two versions
            part.unlink()
            _receive(source, part)
        verify(part, sha256, where=source)
    except ValueError:  # nothing that is worth going on with
        part.unlink(missing_ok=True)
        raise
    part.replace(path)
    log.info("Fetched %s: %.1f MB, sha256 as expected", masked(source), path.stat().st_size / 1e6)


def _receive(source: str, part: Path) -> bool:
    """Fill `part`, going on after what it holds; return whether it was put together of pieces."""
    if storage.is_remote(source):
        storage.download_file(source, part)
        return False
    failures, was_resumed = 0, False
    while True:
        before = _size(part)
        was_resumed = was_resumed or before > 0
        try:
            _receive_once(source, part)
        except (httpx.TransportError, ConnectionError) as error:
            failures = 0 if _size(part) > before else failures + 1
            if failures > len(PAUSES):
                raise ConnectionError(masked(f"{source} cannot be fetched: {error}")) from error
            log.warning("%s: %s; trying again from byte %d", masked(source), error, _size(part))
            time.sleep(PAUSES[failures - 1] if failures else 0.0)
        else:
            return was_resumed


def _receive_once(url: str, part: Path) -> None:
    start = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    hooks = {"request": [_refuse_downgrade(url)]}
    with (
        httpx.Client(follow_redirects=True, timeout=_PATIENCE, event_hooks=hooks) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        is_rest = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if response.status_code == 416 or (response.status_code == 206 and not is_rest):
            part.unlink()
            raise ConnectionError("the server has no such part of it")
        _check_status(url, response)
        total = int(response.headers.get("Content-Length", 0))
        with part.open("ab" if response.status_code == 206 else "wb") as file:
            for chunk in _reported(response.iter_raw(), total):
                file.write(chunk)
                if file.tell() > LARGEST:
                    raise ValueError(f"{masked(url)} is larger than {LARGEST / 1e9:.1f} GB")


def _refuse_downgrade(url: str) -> Callable[[httpx.Request], None]:
    def check(request: httpx.Request) -> None:
        if url.startswith("https:") and request.url.scheme != "https":
            raise ValueError(masked(f"{url} leads on to {request.url}, which is not https://"))

    return check


def _check_status(url: str, response: httpx.Response) -> None:
    answer = f"{masked(url)}: the server answers {response.status_code} {response.reason_phrase}"
    if response.status_code in _TRANSIENT:
        raise ConnectionError(answer)
    if response.status_code not in (200, 206):
        raise ValueError(f"{answer}: is the address right?")


def _reported(chunks: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Pass on what arrives, and log every few seconds how much that is."""
    done, last = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        if time.monotonic() - last > _REPORT_EVERY:
            last = time.monotonic()
            log.info("%.1f of %.1f MB", done / 1e6, total / 1e6)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
