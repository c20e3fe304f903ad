"""Files and folders come and go whole, verified, in parallel, large ones in pieces."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.faulty_bucket import FaultyBucket

from boxloop import storage
from boxloop.gcs import transfers

URI = "gs://bucket/folder"
LARGE = bytes(range(256)) * 2**12 * 9  # 9 MiB; the library sends up to 8 at once
pytestmark = pytest.mark.usefixtures("quick", "small_pieces")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "_LARGE", 2**20)
    monkeypatch.setattr(transfers, "_PIECE_UP", 2**20)
    monkeypatch.setattr(transfers, "_PIECE_DOWN", 2**19)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 small files and a large one."""
    made = tmp_path / "folder"
    made.mkdir()
    for number in range(40):
        (made / f"{number}.txt").write_bytes(b"%d" % number * 100)
    (made / "large").write_bytes(LARGE)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_large_file_goes_and_comes_in_pieces(
    faulty: FaultyBucket, folder: Path, tmp_path: Path
) -> None:
    storage.upload_folder(folder, URI)
    assert faulty.asked(r"PUT .*upload_id") == 9
    storage.download_file(f"{URI}/large", tmp_path / "copy")
    assert faulty.asked(r"GET .*large\?.*alt=media") == 18
    assert (tmp_path / "copy").read_bytes() == LARGE


def test_files_that_go_beside_each_other_go_in_small_pieces(
    faulty: FaultyBucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_LARGE", 2**30)
    monkeypatch.setattr(transfers, "_PIECE_BESIDE_OTHERS", 2**20)
    storage.upload_folder(folder, URI)
    assert faulty.asked(r"PUT .*upload_id") == 9
    assert storage.read_bytes(f"{URI}/large") == LARGE


@pytest.mark.parametrize(
    "kind", ["status", "late_status", "cut_before", "cut_after", "cut_request", "cut_answer"]
)
def test_a_folder_goes_and_comes_whole_though_requests_fail(
    faulty: FaultyBucket, folder: Path, tmp_path: Path, kind: str
) -> None:
    fault = faulty.strike(kind, rate=0.1, count=-1)
    storage.upload_folder(folder, URI)
    storage.download_folder(URI, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(folder)
    assert fault.struck > 3


@pytest.mark.parametrize("name", ["large", "7.txt"])
def test_a_download_that_is_changed_on_its_way_is_made_again(
    faulty: FaultyBucket, folder: Path, tmp_path: Path, name: str
) -> None:
    storage.upload_folder(folder, URI)
    faulty.strike("corrupt", f"{name}.*alt=media")
    storage.download_folder(URI, tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(folder)
    faulty.strike("corrupt", f"{name}.*alt=media", count=-1)
    with pytest.raises(OSError, match=f"{name}: its bytes were changed"):
        storage.download_folder(URI, tmp_path / "other")
    assert not (tmp_path / "other" / name).exists()
    assert not [path for path in (tmp_path / "other").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["large", "7.txt"])
def test_an_upload_that_is_changed_on_its_way_is_made_again(
    faulty: FaultyBucket, folder: Path, name: str
) -> None:
    fault = faulty.strike("corrupt_request", "PUT" if name == "large" else "POST .*multipart")
    storage.upload_folder(folder, URI)
    assert fault.struck == 1
    assert storage.read_bytes(f"{URI}/{name}") == (folder / name).read_bytes()


def test_a_process_killed_amid_a_download_leaves_no_file_that_looks_whole(
    faulty: FaultyBucket, folder: Path, tmp_path: Path
) -> None:
    storage.upload_folder(folder, URI)
    faulty.strike("slow", "alt=media", skip=5, seconds=30, count=-1)
    (tmp_path / "copy").mkdir()
    code = (
        "import sys; from pathlib import Path; from boxloop import storage;"
        "storage.download_folder(sys.argv[1], Path(sys.argv[2]))"
    )
    with subprocess.Popen([sys.executable, "-c", code, URI, str(tmp_path / "copy")]) as process:
        while faulty.asked("alt=media") < 8:
            assert process.poll() is None
        process.kill()
    whole = contents(folder)
    found = contents(tmp_path / "copy")
    assert {n: d for n, d in found.items() if whole.get(n) != d and not n.startswith(".")} == {}
    assert len(found) < len(whole)


def test_what_is_there_already_is_not_copied_again_and_what_is_gone_goes(
    faulty: FaultyBucket, folder: Path
) -> None:
    storage.upload_folder(folder, URI, is_mirror=True)
    (folder / "1.txt").write_bytes(b"2" * 100)  # as long as it was
    (folder / "2.txt").unlink()
    faulty.clear()
    storage.upload_folder(folder, URI, last="1.txt", is_mirror=True)
    assert faulty.asked("^POST|^PUT") == 1
    assert faulty.requests[-1].startswith("DELETE")  # after the last was there
    assert storage.read_bytes(f"{URI}/1.txt") == b"2" * 100
    assert not storage.exists(f"{URI}/2.txt")
    (folder / "3.txt").unlink()
    storage.upload_folder(folder, URI)
    assert storage.exists(f"{URI}/3.txt")


def test_the_last_is_uploaded_last(faulty: FaultyBucket, folder: Path) -> None:
    storage.upload_folder(folder, URI, last="20.txt")
    generations = {name: faulty.generation(name) for name in faulty.emulator.objects["bucket"]}
    assert len(generations) == 41
    assert max(generations, key=lambda name: generations[name]) == "folder/20.txt"
