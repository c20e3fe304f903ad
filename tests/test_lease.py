import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_bucket import FaultyBucket

from boxloop import lease, storage

URI = "gs://bucket/train.lease"
QUICK: dict[str, Any] = {"renew_seconds": 0.1, "stale_seconds": 0.5}
ELSEWHERE = b'{"holder": "other", "machine": "another", "pid": 1, "started": 0, "beat": 1}'
HOLDS = """
import sys, time
from boxloop import lease
with lease.hold(sys.argv[1], renew_seconds=0.1):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["local", "gs"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "round_01" / "train.lease")
    request.getfixturevalue("faulty")
    return URI


def test_a_swap_needs_what_it_expects(uri: str) -> None:
    assert not storage.swap_bytes(uri, b"1", b"2")
    assert storage.swap_bytes(uri, None, b"1")
    assert not storage.swap_bytes(uri, None, b"2")
    assert storage.swap_bytes(uri, b"1", b"2")
    assert not storage.swap_bytes(uri, b"1", None)
    assert storage.swap_bytes(uri, b"2", None)
    assert lease.read(uri) is None


def test_of_many_swaps_one_succeeds(tmp_path: Path) -> None:
    uri = str(tmp_path / "lease")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: storage.swap_bytes(uri, None, b"%d" % i), range(16)))
    assert sorted(won) == [False] * 15 + [True]


def test_of_many_swaps_in_a_bucket_one_succeeds(faulty: FaultyBucket) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: storage.swap_bytes(URI, None, b"%d" % i), range(8)))
    assert sorted(won) == [False] * 7 + [True]


def test_a_write_between_look_and_swap_makes_it_fail(faulty: FaultyBucket) -> None:
    faulty.strike("other_writer", "POST", content="other")
    assert not storage.swap_bytes(URI, None, b"mine")
    assert storage.read_bytes(URI) == b"other"


@pytest.mark.parametrize("kind", ["cut_after", "late_status"])
def test_a_swap_whose_answer_was_lost_is_known_to_have_been_done(
    faulty: FaultyBucket, kind: str
) -> None:
    faulty.strike(kind, "POST")  # the client asks again, and meets its own write
    assert storage.swap_bytes(URI, None, b"mine")
    assert faulty.asked("POST") == 2


def test_a_lease_is_renewed_while_it_is_held_and_gone_afterwards(uri: str) -> None:
    with lease.hold(uri, **QUICK):
        later = first = json.loads(storage.read_bytes(uri))
        end = time.monotonic() + 30
        while later["beat"] < first["beat"] + 2:
            assert time.monotonic() < end
            time.sleep(0.05)
            later = json.loads(storage.read_bytes(uri))
        assert {**later, "beat": first["beat"]} == first
    assert lease.read(uri) is None


def test_a_second_writer_waits_until_the_first_is_done(uri: str) -> None:
    events: list[str] = []
    patient: dict[str, Any] = {"renew_seconds": 0.1, "stale_seconds": 3}

    def second() -> None:
        with lease.hold(uri, on_lost=lambda: events.append("lost"), **patient):
            events.append("second")

    with lease.hold(uri, on_lost=lambda: events.append("lost"), **patient):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(4)  # longer than a lease may be unchanged
        events.append("first")
    thread.join()
    assert events == ["first", "second"]


def test_a_lease_that_is_not_renewed_is_taken_over_once_it_is_stale(uri: str) -> None:
    storage.swap_bytes(uri, None, ELSEWHERE)
    started = time.monotonic()
    with lease.hold(uri, **QUICK):
        assert 0.5 <= time.monotonic() - started < 30


def test_a_holder_that_was_killed_on_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    uri = str(tmp_path / "train.lease")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, uri], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.kill()
    started = time.monotonic()
    with lease.hold(uri, renew_seconds=0.1, stale_seconds=60):
        assert time.monotonic() - started < 30


def test_who_has_lost_the_lease_is_told_before_the_next_write(uri: str) -> None:
    with lease.hold(uri, renew_seconds=60) as held:
        held.check()
        storage.swap_bytes(uri, storage.read_bytes(uri), ELSEWHERE)
        with pytest.raises(lease.LeaseLostError, match="taken over by another process"):
            held.check()
    assert storage.read_bytes(uri) == ELSEWHERE  # and leaves it to the other


def test_who_has_lost_the_lease_is_told_even_if_he_asks_for_nothing(uri: str) -> None:
    lost = threading.Event()
    with lease.hold(uri, on_lost=lost.set, **QUICK):
        while not storage.swap_bytes(uri, storage.read_bytes(uri), ELSEWHERE):
            pass
        assert lost.wait(60)


def test_by_default_a_process_that_lost_its_lease_ends_at_once(tmp_path: Path) -> None:
    uri = str(tmp_path / "train.lease")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, uri], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        while not storage.swap_bytes(uri, storage.read_bytes(uri), ELSEWHERE):
            pass
        assert other.wait(60) == 1


def test_storage_that_is_away_for_a_while_loses_no_lease(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    swap, away = storage.swap_bytes, threading.Event()

    def stumbles(*arguments: Any) -> bool:
        if away.is_set():
            raise OSError("no route to host")
        return swap(*arguments)

    monkeypatch.setattr(storage, "swap_bytes", stumbles)
    with lease.hold(uri, on_lost=pytest.fail, **QUICK) as held:
        away.set()
        end = time.monotonic() + 30
        while "could not be renewed: no route to host" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.05)
        away.clear()
        held.check()


def test_a_renewal_whose_answer_was_lost_loses_no_lease(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap, answers = storage.swap_bytes, [OSError("no answer")]

    def obeys_in_silence(*arguments: Any) -> bool:
        is_swapped = swap(*arguments)
        if answers:
            raise answers.pop()
        return is_swapped

    with lease.hold(uri, renew_seconds=60) as held:
        monkeypatch.setattr(storage, "swap_bytes", obeys_in_silence)
        with pytest.raises(OSError, match="no answer"):
            held.check()
        held.check()
    assert lease.read(uri) is None


def test_a_lease_that_is_no_json_is_waited_for_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "train.lease"
    path.write_bytes(b"[1, 2]")
    with lease.hold(str(path), **QUICK):
        assert b"holder" in path.read_bytes()
