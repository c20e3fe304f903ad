"""What tasks keep of the files that they write, wherever these lie and whoever wrote them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boxloop import digests, storage
from boxloop.artifacts import Run
from boxloop.ledger import ROUND_TASKS, run_once
from boxloop.pool_parts import sign_of


@pytest.mark.parametrize("run", ["gs://b/checkpoints/experiments/a", "/r/experiments/done"])
def test_what_a_run_lies_in_decides_nothing(run: str) -> None:
    found = digests.of(b"x")
    names = ("round_01/weights/checkpoint", "report/index.html")
    passing = ("round_01/done/train.json", "round_01/checkpoints/ckpt-2.index", "digests/a.json")
    written = {f"{run}/{name}": found for name in (*names, *passing)}
    assert {*digests.build(run, written)["files"]} == {*names}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A round whose detector is exported."""
    run = Run.of(str(tmp_path), "a")
    storage.write_bytes(run.experiment, b"name: a\n")
    for task in ROUND_TASKS[:4]:
        run_once(run, 1, task, dict, started=0.0)
    return run


def detect(run: Run, worker: str = "", **parts: bytes) -> None:
    """Write parts of the pool as a worker, such as `-00001-of-00002`, or as the task itself."""

    def work() -> dict[str, Any]:
        for name, content in parts.items():
            storage.write_bytes(part(run, name), content)
            storage.write_bytes(sign_of(part(run, name)), b"{}")
        files = storage.list_files(f"{run.round(1)}/detections")
        there = [uri for uri in files if uri.endswith(".parquet")]
        return {"parts": len(parts)} if worker else {"detections_uris": there}

    run_once(run, 1, f"predict{worker}", work, started=0.0)


def noted(run: Run) -> dict[str, str]:
    """Return what the task itself has noted: the files of parts, and their digests."""
    uri = run.digests(1, "predict")
    found = digests.parse(storage.read_json(uri), uri)
    return {name.rpartition("/")[2]: digest.sha256 for name, digest in found.items()}


def part(run: Run, name: str) -> str:
    return f"{run.round(1)}/detections/{name}.parquet"


def watched(read: Callable[[str], bytes], seen: list[str]) -> Callable[[str], bytes]:
    def watch(uri: str) -> bytes:
        seen.append(uri)
        return read(uri)

    return watch


def sums(**parts: bytes) -> dict[str, str]:
    files = {f"{name}.parquet": content for name, content in parts.items()}
    files |= {f"{name}.unreadable.json": b"{}" for name in parts}
    return {name: digests.of(content).sha256 for name, content in files.items()}


def test_what_a_killed_attempt_has_noted_is_noted_again(run: Run) -> None:
    detect(run, a=b"1", b=b"2")
    storage.delete(run.marker(1, "predict"))  # it was killed just before
    detect(run)
    assert noted(run) == sums(a=b"1", b=b"2")


def test_the_task_takes_over_what_its_workers_have_noted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect(run, "-00002-of-00002", a=b"1", both=b"of one machine")
    detect(run, "-00001-of-00002", b=b"2", both=b"of another")
    read: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(storage, "read_bytes", watched(storage.read_bytes, read))
        detect(run)
    assert noted(run) == sums(a=b"1", b=b"2", both=b"of another")
    assert [uri for uri in read if "/detections/" in uri] == [part(run, "both")]


def test_what_workers_noted_of_another_detector_is_left_out(run: Run) -> None:
    detect(run, "-00001-of-00002", old=b"1")
    storage.delete(run.marker(1, "export"))
    run_once(run, 1, "export", lambda: {"digest": "another"}, started=0.0)
    storage.delete_folder(f"{run.round(1)}/detections")
    detect(run, new=b"2")
    assert noted(run) == sums(new=b"2")
