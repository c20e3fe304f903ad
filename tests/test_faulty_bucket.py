"""The bucket of tests keeps the promises that tests of the product rest on."""

from __future__ import annotations

import http.client
import io
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Bucket, Client
from requests import RequestException
from tests.faulty_bucket import FaultyBucket, serve

BIG = bytes(range(256)) * 4096  # 1 MiB: four pieces of a resumable upload


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyBucket]:
    with serve() as faulty:
        yield faulty


@pytest.fixture
def faulty(server: FaultyBucket) -> FaultyBucket:
    server.clear()
    return server


@pytest.fixture
def bucket(faulty: FaultyBucket) -> Iterator[Bucket]:
    client = Client("test", AnonymousCredentials(), client_options={"api_endpoint": faulty.url})
    yield client.bucket("bucket")
    client.close()


def upload(blob: Any, data: bytes, how: str, **options: Any) -> None:
    if how == "resumable":
        blob.chunk_size = 2**18
        blob.upload_from_file(io.BytesIO(data), **options)  # of a size that it does not know
    else:
        blob.upload_from_string(data, **options)


@pytest.mark.parametrize("how", ["at once", "resumable"])
def test_an_upload_needs_the_generation_it_expects(bucket: Bucket, how: str) -> None:
    key = f"upload {how}/a"
    upload(bucket.blob(key), BIG, how, if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        upload(bucket.blob(key), b"b" * len(BIG), how, if_generation_match=0)
    generation = bucket.get_blob(key).generation
    upload(bucket.blob(key), b"second", how, if_generation_match=generation)
    with pytest.raises(exceptions.PreconditionFailed):
        upload(bucket.blob(key), b"third", how, if_generation_match=generation)
    assert bucket.blob(key).download_as_bytes() == b"second"


def test_a_resumable_upload_may_lose_to_another_writer_at_its_end(
    bucket: Bucket, faulty: FaultyBucket
) -> None:
    faulty.strike("other_writer", "PUT .*upload_id", skip=3, content="theirs")
    with pytest.raises(exceptions.PreconditionFailed):
        upload(bucket.blob("race"), BIG, "resumable", if_generation_match=0)
    assert bucket.blob("race").download_as_bytes() == b"theirs"


def test_reads_copies_and_deletes_need_the_generation_they_expect(bucket: Bucket) -> None:
    blob = bucket.blob("conditions")
    blob.upload_from_string(b"1")
    generation = blob.generation
    with pytest.raises(exceptions.NotModified):
        blob.download_as_bytes(if_generation_not_match=generation)
    blob.upload_from_string(b"2")
    with pytest.raises(exceptions.PreconditionFailed):
        blob.download_as_bytes(if_generation_match=generation)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=generation)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.copy_blob(blob, bucket, "conditions", if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("conditions", generation=generation).download_as_bytes()
    read = bucket.blob("conditions")
    assert read.download_as_bytes() == b"2"
    assert int(read.generation) == bucket.get_blob("conditions").generation


@pytest.mark.parametrize("status", [429, 503])
def test_a_status_comes_as_often_as_it_should_and_nothing_is_done(
    bucket: Bucket, faulty: FaultyBucket, status: int
) -> None:
    fault = faulty.strike("status", "POST", status=status, count=2, skip=1)
    outcomes: list[int | None] = []
    for key in ("a", "b", "c", "d"):
        try:
            bucket.blob(f"status {status}/{key}").upload_from_string(b"x", retry=None)
            outcomes.append(200)
        except exceptions.GoogleAPICallError as error:
            outcomes.append(error.code)
    assert outcomes == [200, status, status, 200]
    assert fault.struck == 2
    assert not bucket.blob(f"status {status}/b").exists()
    assert bucket.blob(f"status {status}/d").exists()


@pytest.mark.parametrize(
    ("kind", "is_done"),
    [("cut_before", False), ("cut_request", False), ("cut_after", True), ("late_status", True)],
)
def test_an_upload_cut_off_is_done_or_not(
    bucket: Bucket, faulty: FaultyBucket, kind: str, is_done: bool
) -> None:
    faulty.strike(kind, "POST")
    with pytest.raises((RequestException, exceptions.ServiceUnavailable, ConnectionError)):
        bucket.blob(kind).upload_from_string(BIG, retry=None)
    assert bucket.blob(kind).exists() is is_done


@pytest.mark.parametrize("skip", [1, 3], ids=["in the middle", "at the end"])
def test_a_piece_of_an_upload_may_come_twice_if_its_answer_was_lost(
    bucket: Bucket, faulty: FaultyBucket, skip: int
) -> None:
    faulty.strike("cut_after", "PUT .*upload_id", skip=skip)
    upload(bucket.blob("again"), BIG, "resumable", if_generation_match=0)
    assert bucket.blob("again").download_as_bytes() == BIG
    bucket.blob("again").delete()


def test_an_answer_cut_off_is_shorter_than_it_says(bucket: Bucket, faulty: FaultyBucket) -> None:
    bucket.blob("cut").upload_from_string(BIG)
    faulty.strike("cut_answer", "alt=media", share=0.25)
    connection = http.client.HTTPConnection(faulty.url.removeprefix("http://"))
    connection.request("GET", "/download/storage/v1/b/bucket/o/cut?alt=media")
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    connection.close()
    assert len(caught.value.partial) == 2**18


def test_bytes_may_change_on_their_way_down_and_up(bucket: Bucket, faulty: FaultyBucket) -> None:
    from google.cloud.storage.exceptions import DataCorruption

    blob = bucket.blob("corrupt")
    faulty.strike("corrupt_request", "POST", count=-1)
    with pytest.raises(exceptions.BadRequest):
        blob.upload_from_string(b"content" * 1000, checksum="crc32c")
    faulty.clear()
    blob.upload_from_string(b"content" * 1000)
    faulty.strike("corrupt", "alt=media", count=-1)
    assert blob.download_as_bytes(checksum=None) != b"content" * 1000
    with pytest.raises(DataCorruption):
        blob.download_as_bytes(checksum="crc32c")


def test_silence_and_slowness_last_as_long_as_they_should(
    bucket: Bucket, faulty: FaultyBucket
) -> None:
    bucket.blob("slow").upload_from_string(b"x")
    faulty.strike("slow", "alt=media", seconds=0.3)
    faulty.strike("hang", "alt=media", seconds=0.3)
    started = time.monotonic()
    assert bucket.blob("slow").download_as_bytes(retry=None) == b"x"
    assert time.monotonic() - started >= 0.3
    with pytest.raises(RequestException):
        bucket.blob("slow").download_as_bytes(retry=None, timeout=0.1)


def test_a_share_of_the_requests_is_struck(faulty: FaultyBucket) -> None:
    fault = faulty.strike("status", "GET", rate=0.3, count=-1)
    struck = [faulty.meet("GET /x") is not None for _ in range(1000)]
    # three standard deviations of 1000 trials at 0.3: 3 * sqrt(1000 * 0.3 * 0.7) = 43
    assert abs(sum(struck) - 300) < 43
    assert fault.struck == sum(struck)


def test_a_range_behind_the_end_is_refused(bucket: Bucket) -> None:
    bucket.blob("short").upload_from_string(b"abc")
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        bucket.blob("short").download_as_bytes(start=3)


def test_another_process_serves_and_takes_faults_by_http(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.faulty_bucket",
        "--port",
        "0",
        "--folder",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split("=")[1].split()[0]
        try:
            fault = {"kind": "status", "where": "GET /storage", "status": 429}
            assert control(url, "POST", fault)[0]["struck"] == 0
            client = Client("test", AnonymousCredentials(), client_options={"api_endpoint": url})
            assert not client.bucket("bucket").blob("none").exists()
            client.close()
            assert [told["struck"] for told in control(url, "GET")] == [1]
            control(url, "DELETE")
            assert control(url, "GET") == []
            with pytest.raises(urllib.error.HTTPError, match="400"):
                control(url, "POST", {"kind": "no such"})
        finally:
            process.kill()


def control(url: str, method: str, fault: Any = None) -> Any:
    data = None if fault is None else json.dumps(fault).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}/faults", data, method=method)
    ) as answer:
        return json.load(answer)
