"""The only module that touches files, local or gs://.

A URI is a local path or `gs://bucket/key`. Objects appear whole or not at all: locally by rename,
on GCS by its own guarantee. There is no rename of folders on object stores, so what consists of
several objects is written data first, one small manifest last, and readers trust manifests only.

What is done on a disk is in local_files.py, listing.py and folder_move.py, what is done in a bucket
in gcs/, between both in local_copies.py; nobody else imports those.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from boxloop import digests
from boxloop import local_files as files
from boxloop.folder_move import move_local
from boxloop.gcs import cache, client, folders, objects
from boxloop.gcs.client import key_environment as key_environment
from boxloop.gcs.client import use_key as use_key
from boxloop.listing import (
    Listing,
    Stamp,
    delete_empty,
    is_hidden,
    list_leftovers,
    list_local,
    stamp_local,
)
from boxloop.local_copies import download_file as download_file
from boxloop.local_copies import download_folder as download_folder
from boxloop.local_copies import local_files as local_files
from boxloop.local_copies import local_folder as local_folder
from boxloop.local_copies import upload_folder as upload_folder
from boxloop.local_copies import working_folder as working_folder
from boxloop.ordered import map_files as map_files
from boxloop.ordered import map_ordered
from boxloop.uris import absolute as absolute
from boxloop.uris import is_remote as is_remote
from boxloop.uris import safe_join as safe_join


def read_bytes(uri: str) -> bytes:
    """Return an object's content.

    Raises:
        FileNotFoundError: if there is none.
    """
    return objects.read(uri) if is_remote(uri) else files.read(uri)


def read_again(uri: str) -> bytes:
    """Return the content of an object that is read in many rounds, such as an image.

    Of gs:// it is kept on this machine, and fetched only if the bucket has another by now.

    Raises:
        FileNotFoundError: if there is none.
    """
    return cache.read(uri) if is_remote(uri) else files.read(uri)


def read_start(uri: str, num_bytes: int) -> bytes:
    """Return the first bytes of an object that may be huge, all of a smaller one.

    Raises:
        FileNotFoundError: if there is none.
    """
    return objects.read_start(uri, num_bytes) if is_remote(uri) else files.read(uri, num_bytes)


def write_bytes(uri: str, data: bytes) -> None:
    """Write an object whole; one that is there is replaced."""
    digests.note(uri, data)
    if is_remote(uri):
        objects.write(uri, data)
    else:
        files.write(Path(uri), data)


def write_once(uri: str, data: bytes) -> None:
    """Write an object that is never replaced; the same content may be written again.

    Raises:
        FileExistsError: if there is one with another content.
    """
    if is_remote(uri):
        is_ours = objects.write_new(uri, data)
    elif is_ours := not exists(uri):
        files.write(Path(uri), data)
    if is_ours:
        digests.note(uri, data)
    elif read_bytes(uri) != data:
        raise FileExistsError(f"{uri} is there already, with another content; it is never replaced")


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
        is_swapped = objects.swap(uri, expected, data)
    else:
        is_swapped = files.swap(Path(uri), expected, data)
    if is_swapped:
        digests.note(uri, data)
    return is_swapped


def delete(uri: str) -> None:
    """Delete an object; that there is none is no error."""
    digests.note(uri, None)
    if is_remote(uri):
        objects.delete(uri)
    else:
        Path(uri).unlink(missing_ok=True)


def delete_folder(uri: str) -> None:
    """Delete all objects below a folder."""
    if is_remote(uri):
        folders.delete_folder(uri)
    elif Path(uri).exists():
        shutil.rmtree(uri)


def delete_empty_folders(folder_uri: str) -> None:
    """Delete the folders in which nothing is left, from a local one down; gs:// has none."""
    if not is_remote(folder_uri):
        delete_empty(folder_uri)


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
        folders.move_folder(uri, target_uri, first)
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
    return objects.exists(uri) if is_remote(uri) else Path(uri).is_file()


def digest(uri: str) -> str:
    """Return the sha256 of an object's content, as hexadecimal digits."""
    if is_remote(uri):
        return objects.digest(uri)
    with open(uri, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder_uri: str) -> list[str]:
    """Return the URIs of all objects below a folder, sorted; hidden files are left out."""
    base = folder_uri.rstrip("/")
    return [f"{base}/{name}" for name in list_folder(folder_uri).files]


def list_folder(folder_uri: str) -> Listing:
    """Return what lies below a folder; folders behind links are not followed."""
    if not is_remote(folder_uri):
        return list_local(folder_uri)
    names = [name for name in folders.blobs_below(folder_uri) if not is_hidden(name)]
    return Listing(names, set(), set())


def list_stamps(folder_uri: str) -> dict[str, Stamp]:
    """Return the size of each file below a folder, and what changes whenever the file does.

    Nothing is opened. What `list_folder` leaves out is left out; a link tells of itself.
    """
    if not is_remote(folder_uri):
        return stamp_local(folder_uri)
    return {
        name: Stamp(int(blob.size or 0), f"{blob.size}-{blob.generation}-{blob.crc32c}")
        for name, blob in folders.blobs_below(folder_uri).items()
        if not is_hidden(name)
    }


def leftovers(folder_uri: str, *, older_than: float) -> dict[str, int]:
    """Return the hidden files that killed writers have left below a folder, with sizes.

    There are none on gs://, where nothing is there before it is whole.

    Args:
        folder_uri: where to look.
        older_than: seconds since the last change.
    """
    return {} if is_remote(folder_uri) else list_leftovers(folder_uri, older_than=older_than)


def readers(uri: str) -> int:
    """Return how many threads read small files from there at once with profit."""
    return client.THREADS if is_remote(uri) else 1


def read_ahead(uris: Iterable[str], *, limit: int = 64) -> Iterator[bytes]:
    """Read images in order; of remote ones several at a time, `limit` in memory at the most."""
    stream = iter(uris)
    first = next(stream, None)
    if first is None:
        return
    stream = chain([first], stream)
    if not is_remote(first):
        yield from map(read_bytes, stream)
        return
    yield from map_ordered(read_again, stream, threads=readers(first), limit=limit)
