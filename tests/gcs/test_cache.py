"""What is kept on this machine is fetched once, never served stale or damaged, and bounded."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.faulty_bucket import FaultyBucket

from boxloop import storage
from boxloop.gcs import cache

URI = "gs://bucket/photos/a.jpg"
DATA = b"picture" * 1000
pytestmark = pytest.mark.usefixtures("quick", "kept")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of 1 MB."""
    monkeypatch.setenv("BOXLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BOXLOOP_CACHE_GB", "0.001")
    monkeypatch.setattr(cache, "_added", {})
    return tmp_path / "cache" / "boxloop" / "objects"


def entries(kept: Path) -> list[Path]:
    return [path for path in kept.glob("*/*/*") if path.is_file()]


def test_an_object_read_again_comes_without_its_content(faulty: FaultyBucket) -> None:
    storage.write_bytes(URI, DATA)
    assert storage.read_again(URI) == DATA
    fault = faulty.strike("cut_answer", "alt=media", share=0.0)  # no content can come
    assert storage.read_again(URI) == DATA
    assert fault.struck == 1


def test_an_object_that_was_changed_is_never_served_stale(faulty: FaultyBucket, kept: Path) -> None:
    for content in (DATA, DATA[::-1], DATA):
        storage.write_bytes(URI, content)
        assert storage.read_again(URI) == content
        with storage.local_files([URI]) as paths:
            assert paths[0].read_bytes() == content
        with storage.local_folder("gs://bucket/photos") as folder:
            assert (folder / "a.jpg").read_bytes() == content
    assert len(entries(kept)) == 1
    storage.delete(URI)
    with pytest.raises(FileNotFoundError):
        storage.read_again(URI)
    with pytest.raises(FileNotFoundError), storage.local_files([URI]):
        pass


def test_files_and_folders_come_from_here_the_second_time(faulty: FaultyBucket) -> None:
    for name in "abc":
        storage.write_bytes(f"gs://bucket/model/{name}", DATA + name.encode())
    for expected in (3, 0):
        faulty.clear()
        with storage.local_folder("gs://bucket/model") as folder:
            assert (folder / "c").read_bytes() == DATA + b"c"
        with storage.local_files([f"gs://bucket/model/{name}" for name in "ba"]) as paths:
            assert [path.read_bytes()[-1:] for path in paths] == [b"b", b"a"]
        assert faulty.asked("alt=media") == expected


def test_what_is_worked_on_is_a_copy_of_its_own(faulty: FaultyBucket) -> None:
    storage.write_bytes("gs://bucket/work/a", DATA)
    with storage.local_folder("gs://bucket/work"):
        pass
    with storage.working_folder("gs://bucket/work") as folder, (folder / "a").open("ab") as file:
        file.write(b"more")
    with storage.local_folder("gs://bucket/work") as folder:
        assert (folder / "a").read_bytes() == DATA


@pytest.mark.parametrize("damage", [b"", DATA[:-1], b"x" + DATA[1:]])
def test_a_damaged_entry_is_noticed_and_fetched_anew(
    faulty: FaultyBucket, kept: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    storage.write_bytes(URI, DATA)
    for _ in range(2):
        assert storage.read_again(URI) == DATA
        (entry,) = entries(kept)
        entry.chmod(0o644)
        entry.write_bytes(damage)
    with storage.local_files([URI]) as paths:
        assert paths[0].read_bytes() == DATA
    assert caplog.text.count("is damaged") == 2


def test_it_stays_within_its_limit_and_what_was_not_used_goes_first(
    faulty: FaultyBucket, kept: Path
) -> None:
    for number in range(40):  # 40 x 60 kB into 1 MB
        storage.write_bytes(f"gs://bucket/photos/{number:02d}", b"%02d" % number * 30_000)
    for number in range(40):
        storage.read_again(f"gs://bucket/photos/{number:02d}")
        storage.read_again("gs://bucket/photos/00")
        os.utime(next(p for p in entries(kept) if p.read_bytes()[:2] == b"00"), (2e9, 2e9))
        assert sum(path.stat().st_size for path in entries(kept)) <= 1e6
    names = sorted(path.read_bytes()[:2].decode() for path in entries(kept))
    assert len(names) >= 12
    assert names[0] == "00"
    assert names[-1] == "39"


def test_half_of_a_small_disk_stays_free(
    faulty: FaultyBucket, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(_: object) -> SimpleNamespace:
        return SimpleNamespace(free=600_000 - sum(path.stat().st_size for path in entries(kept)))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    for number in range(20):  # 20 x 60 kB
        storage.write_bytes(f"gs://bucket/photos/{number:02d}", b"%02d" % number * 30_000)
        storage.read_again(f"gs://bucket/photos/{number:02d}")
    assert 120_000 <= sum(path.stat().st_size for path in entries(kept)) <= 360_000


def test_several_processes_share_it(faulty: FaultyBucket, kept: Path) -> None:
    for number in range(60):
        storage.write_bytes(f"gs://bucket/photos/{number:02d}", b"%02d" % number * 15_000)
    code = """if True:
        import random, sys
        from boxloop import storage
        for number in random.Random(int(sys.argv[1])).choices(range(60), k=60):
            data = storage.read_again(f"gs://bucket/photos/{number:02d}")
            assert data == b"%02d" % number * 15_000, number
    """
    command = [sys.executable, "-W", "ignore", "-c", code]
    readers = [subprocess.Popen([*command, str(seed)]) for seed in range(2)]
    victim = subprocess.Popen([*command, "9"])
    while faulty.asked("alt=media") < 40:
        assert victim.poll() is None
    victim.kill()
    victim.wait()
    assert [reader.wait() for reader in readers] == [0, 0]
    assert sum(path.stat().st_size for path in entries(kept)) <= 1.1e6


def test_threads_share_it(faulty: FaultyBucket) -> None:
    for number in range(30):
        storage.write_bytes(f"gs://bucket/photos/{number:02d}", b"%02d" % number * 30_000)
    uris = [f"gs://bucket/photos/{number % 30:02d}" for number in range(120)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(storage.read_again, uris))
    assert [data[:2] for data in found] == [b"%02d" % (number % 30) for number in range(120)]


def test_a_cache_that_cannot_be_written_to_is_told_of_once_and_no_reason_to_fail(
    faulty: FaultyBucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("BOXLOOP_CACHE", str(tmp_path / "file"))
    storage.write_bytes(URI, DATA)
    assert storage.read_again(URI) == DATA
    with storage.local_files([URI]) as paths:
        assert paths[0].read_bytes() == DATA
    assert caplog.text.count("set BOXLOOP_CACHE to a folder that can be written") == 1


def test_nothing_is_kept_if_so_set_and_a_wrong_setting_is_named(
    faulty: FaultyBucket, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write_bytes(URI, DATA)
    monkeypatch.setenv("BOXLOOP_CACHE_GB", "0")
    assert storage.read_again(URI) == DATA
    assert not kept.exists()
    monkeypatch.setenv("BOXLOOP_CACHE_GB", "much")
    with pytest.raises(ValueError, match="BOXLOOP_CACHE_GB must be a number of GB"):
        storage.read_again(URI)


def test_local_files_are_not_kept(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    assert storage.read_again(str(tmp_path / "a")) == DATA
    assert not kept.exists()
