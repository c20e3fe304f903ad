"""Single objects of a bucket: read, written, deleted, exchanged; each whole or not at all."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from boxloop.gcs.client import insist, locate, options

if TYPE_CHECKING:
    from google.cloud.storage import Blob

_SUM = "crc32c"


def read(uri: str) -> bytes:
    """Return an object's content, verified."""
    return fetch(uri)[1]


def fetch(uri: str, *, unlike: int | None = None) -> tuple[Blob, bytes]:
    """Return an object with its generation and check sum, and its content, verified.

    Args:
        uri: of the object.
        unlike: the generation that is known already.

    Raises:
        FileNotFoundError: if there is none.
        google.api_core.exceptions.NotModified: if it is still that generation.
    """
    bucket, name = locate(uri)

    def once() -> tuple[Blob, bytes]:
        blob = bucket.blob(name)
        data: bytes = blob.download_as_bytes(
            if_generation_not_match=unlike, checksum=_SUM, **options()
        )
        check(blob, crc32c_of(data))
        return blob, data

    with found(uri):
        return insist(once, uri)


def read_start(uri: str, num_bytes: int) -> bytes:
    """Return the first bytes of an object; of a part alone there is no check sum to compare."""
    from google.api_core.exceptions import RequestRangeNotSatisfiable

    bucket, name = locate(uri)

    def once() -> bytes:
        blob = bucket.blob(name)
        data: bytes = blob.download_as_bytes(end=num_bytes - 1, checksum=None, **options())
        if len(data) < num_bytes:
            check(blob, crc32c_of(data))
        return data

    try:
        with found(uri):
            return insist(once, uri)
    except RequestRangeNotSatisfiable:
        return b""  # an empty object has no such part


def describe(uri: str) -> Blob:
    """Return an object with its size, generation and check sum.

    Raises:
        FileNotFoundError: if there is none.
    """
    bucket, name = locate(uri)
    blob = bucket.get_blob(name, **options())
    if blob is None:
        raise FileNotFoundError(f"{uri} does not exist")
    return blob


def digest(uri: str) -> str:
    """Return the sha256 of an object's content, verified, with little of it in memory."""
    bucket, name = locate(uri)

    def once() -> str:
        blob, sha256 = bucket.blob(name), hashlib.sha256()
        sink = Sink(sha256.update)
        blob.download_to_file(sink, checksum=_SUM, **options())
        check(blob, sink.crc32c)
        return sha256.hexdigest()

    with found(uri):
        return insist(once, uri)


def write(uri: str, data: bytes) -> None:
    """Write an object; one that is there is replaced."""
    bucket, name = locate(uri)
    insist(lambda: bucket.blob(name).upload_from_string(data, checksum=_SUM, **options()), uri)


def write_new(uri: str, data: bytes) -> bool:
    """Write an object unless there is one; return whether it was written."""
    from google.api_core.exceptions import PreconditionFailed

    bucket, name = locate(uri)
    condition = {"if_generation_match": 0, **options()}
    try:
        blob = bucket.blob(name)
        insist(lambda: blob.upload_from_string(data, checksum=_SUM, **condition), uri)
    except PreconditionFailed:
        return False
    return True


def swap(uri: str, expected: bytes | None, data: bytes | None) -> bool:
    """Do what `boxloop.storage.swap_bytes` promises, by generations of the object.

    Source: https://cloud.google.com/storage/docs/request-preconditions
    """
    from google.api_core.exceptions import NotFound, PreconditionFailed

    bucket, name = locate(uri)
    blob = bucket.get_blob(name, **options())
    generation = 0 if blob is None else blob.generation
    condition = {"if_generation_match": generation, **options()}
    try:
        if (blob and insist(lambda: blob.download_as_bytes(**condition), uri)) != expected:
            return False
        if data is not None:
            new = bucket.blob(name)
            insist(lambda: new.upload_from_string(data, checksum=_SUM, **condition), uri)
        elif blob is not None:
            blob.delete(**condition)
    except NotFound:  # deleted meanwhile
        return False
    except PreconditionFailed:  # written meanwhile; by us, if an answer was lost on its way here
        return data is not None and _read_if_any(uri) == data
    return True


def delete(uri: str) -> None:
    """Delete an object; that there is none is no error."""
    from google.api_core.exceptions import NotFound

    bucket, name = locate(uri)
    with contextlib.suppress(NotFound):  # also after a first attempt whose answer was lost
        bucket.blob(name).delete(**options())


def exists(uri: str) -> bool:
    """Whether there is an object at this URI."""
    bucket, name = locate(uri)
    with found(uri):
        return bool(bucket.blob(name).exists(**options()))


@contextlib.contextmanager
def found(uri: str) -> Iterator[None]:
    """Turn the library's errors of an object that cannot be read into Python's.

    Raises:
        FileNotFoundError: if there is none.
        PermissionError: if the bucket refuses it.
        OSError: if it does not give it, also when asked again and again.
    """
    from google.api_core import exceptions

    try:
        yield
    except exceptions.NotFound as error:
        raise FileNotFoundError(f"{uri} does not exist") from error
    except exceptions.Forbidden as error:
        raise PermissionError(f"{uri} may not be read: {error}") from error
    except (exceptions.Unauthorized, exceptions.ServerError, exceptions.RetryError) as error:
        raise OSError(f"{uri} cannot be read: {error}") from error


def check(blob: Blob, crc32c: str) -> None:
    """Compare what has come with the bucket's check sum.

    The library does so itself but where a connection was cut and it has fetched the rest: then it
    compares nothing. What the bucket unpacks on its way has the sum of the packed bytes.

    Raises:
        google.cloud.storage.exceptions.DataCorruption: if it is another one.
    """
    from google.cloud.storage.exceptions import DataCorruption

    if blob.crc32c not in (None, crc32c) and blob.content_encoding != "gzip":
        raise DataCorruption(None, f"CRC32C {crc32c} has come, {blob.crc32c} was sent")


class Sink:
    """What a download is written to, from its start, and the check sum of what has come."""

    def __init__(self, take: Callable[[bytes], Any]) -> None:
        import google_crc32c

        self._take = take
        self._sum = google_crc32c.Checksum()

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        self._sum.update(data)
        self._take(data)
        return len(data)

    @property
    def crc32c(self) -> str:
        """As the bucket tells it."""
        return base64.b64encode(self._sum.digest()).decode("ascii")


def crc32c_of(data: bytes) -> str:
    """Return the check sum of some bytes, as the bucket tells it."""
    sink = Sink(len)
    sink.write(data)
    return sink.crc32c


def _read_if_any(uri: str) -> Any:
    try:
        return read(uri)
    except FileNotFoundError:
        return None
