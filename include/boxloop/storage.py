"""The only module that touches files, local or gs://.

A URI is a local path or `gs://bucket/key`. Objects appear whole or not at all: locally by rename,
on GCS by its own guarantee. There is no rename of folders on object stores, so what consists of
several objects is written data first, one small manifest last, and readers trust manifests only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from boxloop.bucket_swap import swap_blob
from boxloop.folder_move import move_blobs, move_local
from boxloop.listing import Listing, Stamp, is_hidden, list_local, stamp_local
from boxloop.ordered import map_ordered

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client


T = TypeVar("T")

_PIECE = 2**16  # bytes; Linux takes one write of megabytes several times as slowly
_CHUNK = 32  # names handed to a thread at once


def is_remote(uri: str) -> bool:
    """Whether a URI is on Google Cloud Storage."""
    return uri.startswith("gs://")


def absolute(uri: str) -> str:
    """Return a URI that means the same from any working directory, without a slash at its end."""
    return uri.rstrip("/") if is_remote(uri) else str(Path(uri).resolve())


def read_bytes(uri: str) -> bytes:
    """Return an object's content.

    Raises:
        FileNotFoundError: if there is none.
    """
    if not is_remote(uri):
        with open(uri, "rb", buffering=0) as file:  # small files: half the time of a Path's
            return file.read()
    from google.api_core.exceptions import NotFound

    bucket, key = _bucket(uri)
    try:
        data: bytes = bucket.blob(key).download_as_bytes(checksum="crc32c")
        return data
    except NotFound as error:
        raise FileNotFoundError(f"{uri} does not exist") from error


def read_start(uri: str, num_bytes: int) -> bytes:
    """Return the first bytes of an object that may be huge, all of a smaller one.

    Raises:
        FileNotFoundError: if there is none.
    """
    if not is_remote(uri):
        with open(uri, "rb", buffering=0) as file:
            return file.read(num_bytes)
    from google.api_core.exceptions import NotFound

    bucket, key = _bucket(uri)
    blob = bucket.get_blob(key)
    try:
        if blob is None or not blob.size:
            return read_bytes(uri)
        data: bytes = blob.download_as_bytes(end=num_bytes - 1, checksum=None)
        return data
    except NotFound as error:
        raise FileNotFoundError(f"{uri} does not exist") from error


def write_bytes(uri: str, data: bytes) -> None:
    """Write an object whole; one that is there is replaced."""
    if is_remote(uri):
        bucket, key = _bucket(uri)
        bucket.blob(key).upload_from_string(data, checksum="crc32c")
        return
    path = Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        written = Path(file.name)
        try:
            shutil.copyfileobj(io.BytesIO(data), file, _PIECE)
            file.flush()
            written.chmod(0o644)
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise


def swap_bytes(uri: str, expected: bytes | None, data: bytes | None) -> bool:
    """Put an object in the place of the one that is expected there; say whether that was done.

    Of several that expect the same, one succeeds, on whatever machine. Other functions of this
    module do not ask, so such an object is written by this one alone.

    Args:
        uri: of the object.
        expected: its content as last seen; None: there is none.
        data: its new content, never that of an earlier time; None: delete it.
    """
    if is_remote(uri):
        return swap_blob(*_bucket(uri), expected, data)
    path = Path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (path.read_bytes() if path.exists() else None) != expected:
            return False
        if data is None:
            path.unlink(missing_ok=True)
        else:
            write_bytes(uri, data)
        return True


def delete(uri: str) -> None:
    """Delete an object; that there is none is no error."""
    if not is_remote(uri):
        Path(uri).unlink(missing_ok=True)
        return
    from google.api_core.exceptions import NotFound

    bucket, key = _bucket(uri)
    with contextlib.suppress(NotFound):
        bucket.blob(key).delete()


def delete_folder(uri: str) -> None:
    """Delete all objects below a folder."""
    if is_remote(uri):
        bucket, prefix = _bucket(uri.rstrip("/") + "/")
        for blob in bucket.list_blobs(prefix=prefix):
            delete(f"gs://{bucket.name}/{blob.name}")
    elif Path(uri).exists():
        shutil.rmtree(uri)


def move_folder(uri: str, target_uri: str, *, first: Sequence[str] = ()) -> None:
    """Move all below a folder to another in the same place; that there is none is no error.

    A local folder moves at once. On gs:// objects move one by one; cut off, the same call moves
    what is left.

    Args:
        uri: of the folder.
        target_uri: of the folder that it becomes.
        first: names below the folder, files or folders, that go before all others on gs://, in
            this order: what tells readers that the others are there.
    """
    if is_remote(uri):
        bucket, prefix = _bucket(uri.rstrip("/") + "/")
        move_blobs(bucket, prefix, _bucket(target_uri.rstrip("/") + "/")[1], first)
    elif Path(uri).exists():
        move_local(Path(uri), Path(target_uri))


def read_json(uri: str) -> Any:
    """Return the value in a JSON object."""
    return json.loads(read_bytes(uri))


def write_json(uri: str, value: Any) -> None:
    """Write a value as readable JSON; the same value always gives the same bytes."""
    write_bytes(uri, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def exists(uri: str) -> bool:
    """Whether there is an object at this URI."""
    if not is_remote(uri):
        return Path(uri).is_file()
    bucket, key = _bucket(uri)
    return bool(bucket.blob(key).exists())


def digest(uri: str) -> str:
    """Return the sha256 of an object's content, as hexadecimal digits."""
    return hashlib.sha256(read_bytes(uri)).hexdigest()


def list_files(folder_uri: str) -> list[str]:
    """Return the URIs of all objects below a folder, sorted; hidden files are left out."""
    base = folder_uri.rstrip("/")
    return [f"{base}/{name}" for name in list_folder(folder_uri).files]


def list_folder(folder_uri: str) -> Listing:
    """Return what lies below a folder; folders behind links are not followed."""
    if is_remote(folder_uri):
        bucket, key = _bucket(folder_uri.rstrip("/") + "/")
        names = _blob_names(bucket, key)
        return Listing(sorted(name for name in names if not is_hidden(name)), set(), set())
    return list_local(folder_uri)


def list_stamps(folder_uri: str) -> dict[str, Stamp]:
    """Return the size of each file below a folder, and what changes whenever the file does.

    Nothing is opened. What `list_folder` leaves out is left out; a link tells of itself.
    """
    if not is_remote(folder_uri):
        return stamp_local(folder_uri)
    bucket, prefix = _bucket(folder_uri.rstrip("/") + "/")
    blobs = {blob.name.removeprefix(prefix): blob for blob in bucket.list_blobs(prefix=prefix)}
    return {
        name: Stamp(int(blob.size or 0), f"{blob.size}-{blob.generation}-{blob.crc32c}")
        for name, blob in sorted(blobs.items())
        if not name.endswith("/") and not is_hidden(name)
    }


@contextlib.contextmanager
def local_folder(uri: str) -> Iterator[Path]:
    """Give a folder's content as local files, for libraries that know nothing of gs://.

    A local folder is given as it is. Reading only: see `upload_folder` for the other way.
    """
    if not is_remote(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="boxloop-") as folder:
        download_folder(uri, Path(folder))
        yield Path(folder)


@contextlib.contextmanager
def local_files(uris: Sequence[str]) -> Iterator[list[Path]]:
    """Give objects as local files, in order; local ones are given as they are. Reading only."""
    with tempfile.TemporaryDirectory(prefix="boxloop-") as folder:
        paths = [Path(uri) for uri in uris]
        for index, uri in enumerate(uris):
            if is_remote(uri):
                paths[index] = Path(folder) / f"{index:05d}-{paths[index].name}"
                paths[index].write_bytes(read_bytes(uri))
        yield paths


@contextlib.contextmanager
def working_folder(uri: str) -> Iterator[Path]:
    """Give a local folder to fill for a URI, holding what is there already.

    For a local URI it is the folder itself. For gs:// it is a copy, and what was added reaches
    the bucket by `upload_folder` only.
    """
    if not is_remote(uri):
        Path(uri).mkdir(parents=True, exist_ok=True)
    with local_folder(uri) as folder:
        yield folder


def map_files(work: Callable[[str], T], names: Sequence[str], *, threads: int) -> Iterator[T]:
    """Give what `work` makes of each name, in order, by threads that take a few names at a time.

    Args:
        work: reads a small file and returns what is to be known of it.
        names: of the files.
        threads: more than 1 where most of the work is waiting, or lets go of Python's lock; local
            files take less time to read than threads take to pass that lock around.
    """
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    with ThreadPoolExecutor(threads) as pool:
        yield from chain.from_iterable(
            pool.map(lambda chunk: [work(name) for name in chunk], chunks)
        )


def readers(uri: str) -> int:
    """Return how many threads read small files from there at once with profit."""
    return 16 if is_remote(uri) else 1


def read_ahead(uris: Iterable[str], *, limit: int = 64) -> Iterator[bytes]:
    """Read objects in order; of remote ones several at a time, `limit` in memory at the most."""
    stream = iter(uris)
    first = next(stream, None)
    if first is None:
        return
    stream = chain([first], stream)
    if not is_remote(first):
        yield from map(read_bytes, stream)
        return
    yield from map_ordered(read_bytes, stream, threads=readers(first), limit=limit)


def download_folder(uri: str, folder: Path) -> None:
    """Copy everything below a gs:// folder into a local one, in parallel."""
    from google.cloud.storage import transfer_manager

    bucket, prefix = _bucket(uri.rstrip("/") + "/")
    names = _blob_names(bucket, prefix)
    for name in names:
        Path(safe_join(str(folder), name)).parent.mkdir(parents=True, exist_ok=True)
    transfer_manager.download_many_to_path(
        bucket,
        names,
        destination_directory=str(folder),
        blob_name_prefix=prefix,
        worker_type=transfer_manager.THREAD,
        raise_exception=True,
    )


def download_file(uri: str, path: Path) -> None:
    """Copy a gs:// object of any size into a local file.

    Raises:
        FileNotFoundError: if there is none.
    """
    from google.api_core.exceptions import NotFound

    bucket, key = _bucket(uri)
    try:
        bucket.blob(key).download_to_filename(str(path), checksum="crc32c")
    except NotFound as error:
        raise FileNotFoundError(f"{uri} does not exist") from error


def upload_folder(folder: Path, uri: str, *, last: str | None = None) -> None:
    """Copy a local folder to a URI, local or gs://; does nothing where both are the same.

    Args:
        folder: where the files are.
        uri: where they go.
        last: name of the file, in whatever sub-folder, that tells readers of gs:// that the others
            are there.
    """
    if is_remote(uri):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        for is_last in (False, True):
            names = [str(p.relative_to(folder)) for p in paths if (p.name == last) is is_last]
            _upload_to_bucket(folder, uri, names)
    elif folder.resolve() != Path(uri).resolve():
        shutil.copytree(folder, uri, dirs_exist_ok=True)


def safe_join(folder_uri: str, name: str) -> str:
    """Return the URI of a file named by somebody else's data, inside a folder of ours.

    Raises:
        ValueError: if the name leads out of the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise ValueError(f"{name!r} leads out of {folder_uri}")
    return f"{folder_uri.rstrip('/')}/{'/'.join(parts)}"


def _upload_to_bucket(folder: Path, uri: str, names: list[str]) -> None:
    from google.cloud.storage import transfer_manager

    bucket, key = _bucket(uri.rstrip("/") + "/")
    transfer_manager.upload_many_from_filenames(
        bucket,
        names,
        source_directory=str(folder),
        blob_name_prefix=key,
        worker_type=transfer_manager.THREAD,
        raise_exception=True,
    )


def _blob_names(bucket: Bucket, prefix: str) -> list[str]:
    """Return names below a prefix, less the empty objects that consoles make for folders."""
    names = [blob.name for blob in bucket.list_blobs(prefix=prefix)]
    return [name.removeprefix(prefix) for name in names if not name.endswith("/")]


def _bucket(uri: str) -> tuple[Bucket, str]:
    bucket, _, key = uri.removeprefix("gs://").partition("/")
    return _client().bucket(bucket), key


@cache
def _client() -> Client:
    from google.cloud.storage import Client

    return Client()
