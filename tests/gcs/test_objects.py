"""Whatever a bucket does, what is written is there, what is read is right, or there is an error."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faulty_bucket import FaultyBucket

from boxloop import storage

URI = "gs://bucket/folder/a"
DATA = bytes(range(256)) * 100
pytestmark = pytest.mark.usefixtures("quick")


def move() -> None:
    storage.move_folder("gs://bucket/folder", "gs://bucket/moved")
    assert storage.read_bytes("gs://bucket/moved/a") == DATA
    assert not storage.exists(URI)


def write() -> None:
    storage.write_bytes(URI, DATA[1:])
    assert storage.read_bytes(URI) == DATA[1:]


def delete() -> None:
    storage.delete(URI)
    assert not storage.exists(URI)


def swap() -> None:
    assert storage.swap_bytes(URI, DATA, b"new")
    assert storage.read_bytes(URI) == b"new"


CALLS: dict[str, Callable[[], object]] = {
    "read": lambda: storage.read_bytes(URI) == DATA or pytest.fail("other bytes"),
    "read start": lambda: storage.read_start(URI, 5) == DATA[:5] or pytest.fail("other bytes"),
    "digest": lambda: storage.digest(URI),
    "exists": lambda: storage.exists(URI) or pytest.fail("not found"),
    "list": lambda: storage.list_files("gs://bucket/folder") == [URI] or pytest.fail("not listed"),
    "write": write,
    "write once": lambda: storage.write_once("gs://bucket/new", DATA),
    "delete": delete,
    "delete folder": lambda: storage.delete_folder("gs://bucket/folder"),
    "swap": swap,
    "move": move,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("kind", "status"),
    [("status", 503), ("late_status", 429), ("cut_before", 0), ("cut_after", 0)],
)
def test_each_call_succeeds_whichever_of_its_requests_fails_once(
    faulty: FaultyBucket, call: str, kind: str, status: int
) -> None:
    for skip in range(9):
        storage.delete_folder("gs://bucket/")
        storage.write_bytes(URI, DATA)
        faulty.clear()
        fault = faulty.strike(kind, skip=skip, status=status)
        CALLS[call]()
        if not fault.struck:  # the call has fewer requests
            break
    assert 0 < skip < 8


def test_a_bucket_that_is_silent_is_asked_again(
    faulty: FaultyBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXLOOP_GCS_TIMEOUT", "0.2")
    storage.write_bytes(URI, DATA)
    faulty.strike("hang", "GET", seconds=0.5)
    assert storage.read_bytes(URI) == DATA
    faulty.strike("hang", "POST", seconds=0.5)
    storage.write_bytes(URI, DATA)


def test_a_bucket_that_stays_away_is_an_error_after_a_while(
    faulty: FaultyBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.api_core.exceptions import GoogleAPIError
    from google.cloud.storage.retry import DEFAULT_RETRY

    from boxloop.gcs import client

    short = DEFAULT_RETRY.with_delay(initial=0.01).with_timeout(0.2)
    monkeypatch.setattr(client, "_retry", lambda: short)
    faulty.strike("status", count=-1)
    for call in (storage.read_bytes, storage.digest, storage.exists):
        with pytest.raises(OSError, match=rf"{URI} cannot be read: .*(503|a fault)"):
            call(URI)
    for change in (storage.list_files, storage.delete, lambda uri: storage.write_bytes(uri, DATA)):
        with pytest.raises(GoogleAPIError, match=r"503|a fault"):
            change(URI)


def test_an_object_that_the_bucket_refuses_may_not_be_read(faulty: FaultyBucket) -> None:
    storage.write_bytes(URI, DATA)
    faulty.strike("status", "GET", status=403, count=-1)
    for call in (storage.read_bytes, storage.read_again, storage.digest, storage.exists):
        with pytest.raises(PermissionError, match=f"{URI} may not be read"):
            call(URI)


def test_bytes_that_change_on_their_way_down_are_fetched_again(faulty: FaultyBucket) -> None:
    storage.write_bytes(URI, DATA)
    faulty.strike("corrupt", "alt=media", count=2)
    assert storage.read_bytes(URI) == DATA
    faulty.strike("corrupt", "alt=media", count=-1)
    with pytest.raises(OSError, match="changed on their way 3 times"):
        storage.read_bytes(URI)
    with pytest.raises(OSError, match="changed on their way"):
        storage.digest(URI)


def test_bytes_that_change_on_their_way_up_are_sent_again(faulty: FaultyBucket) -> None:
    faulty.strike("corrupt_request", "POST", count=2)
    storage.write_bytes(URI, DATA)
    assert storage.read_bytes(URI) == DATA
    faulty.strike("corrupt_request", "POST", count=-1)
    with pytest.raises(OSError, match="changed on their way"):
        storage.write_bytes(URI, b"other" * 1000)
    faulty.clear()
    assert storage.read_bytes(URI) == DATA  # what was there stays


def test_the_rest_of_a_download_that_was_cut_is_verified_with_its_start(
    faulty: FaultyBucket,
) -> None:
    """The library compares no check sum then."""
    storage.write_bytes(URI, DATA)
    faulty.strike("cut_answer", "alt=media")
    faulty.strike("corrupt", "alt=media")  # of the rest
    assert storage.read_bytes(URI) == DATA
    assert faulty.asked("alt=media") == 3


def test_an_object_replaced_amid_a_download_that_was_cut_is_never_a_mixture(
    faulty: FaultyBucket,
) -> None:
    storage.write_bytes(URI, DATA)
    faulty.strike("cut_answer", "alt=media")
    faulty.strike("other_writer", "alt=media", content="x" * len(DATA))
    with pytest.raises(FileNotFoundError):  # that generation is gone; the caller tries again
        storage.read_bytes(URI)
    assert storage.read_bytes(URI) == b"x" * len(DATA)


@pytest.mark.parametrize("place", ["local", "gs"])
def test_what_is_written_once_is_not_replaced(
    request: pytest.FixtureRequest, place: str, tmp_path: Path
) -> None:
    uri = str(tmp_path / "a") if place == "local" else URI
    if place == "gs":
        request.getfixturevalue("faulty")
    storage.write_once(uri, DATA)
    storage.write_once(uri, DATA)
    with pytest.raises(FileExistsError, match="never replaced"):
        storage.write_once(uri, b"other")
    assert storage.read_bytes(uri) == DATA


def test_who_writes_once_may_lose_to_another_writer(faulty: FaultyBucket) -> None:
    faulty.strike("other_writer", "POST", content="theirs")
    with pytest.raises(FileExistsError):
        storage.write_once(URI, DATA)
    assert storage.read_bytes(URI) == b"theirs"


def test_the_start_of_an_object_is_verified_if_it_is_all_of_it(faulty: FaultyBucket) -> None:
    storage.write_bytes(URI, DATA)
    fault = faulty.strike("corrupt", "alt=media")
    assert storage.read_start(URI, len(DATA) + 1) == DATA
    assert fault.struck == 1
