"""`boxloop gc`: what goes, what stays, what is left alone, and what works afterwards."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.upkeep import finish_round, finished_run, names

from boxloop import champion, collected, idleness, steps, storage, upkeep
from boxloop.artifacts import Run
from boxloop.cli import main
from boxloop.contents import content_of
from boxloop.experiment import read_experiment
from boxloop.references import used_rounds
from boxloop.rollback import rollback
from boxloop.training import check_weights
from boxloop.verification import prepare

# google-cloud-storage asks for a package that only its gRPC transport needs
pytestmark = pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(str(tmp_path_factory.mktemp("gc")), rounds=3)


@pytest.fixture
def run(kept: Run, tmp_path: Path) -> Iterator[Run]:
    """A run of three rounds; every change to it is taken back."""
    copy = shutil.copytree(kept.uri, tmp_path / "copy")
    root = Path(kept.uri).parents[1]
    yield kept
    shutil.rmtree(root / "champions", ignore_errors=True)
    shutil.rmtree(root / "experiments")
    shutil.copytree(copy, kept.uri)


def collect(run: Run, keep: str, *, used: frozenset[int] = frozenset()) -> None:
    for _ in upkeep.remove(upkeep.plan_removal(run, keep, used)):
        pass


def gone(before: list[str], run: Run) -> set[str]:
    """Return the folders and files that went, by their first two parts."""
    return {"/".join(name.split("/")[:2]) for name in {*before} - {*names(run)}}


FOLDERS = {
    "all-rounds": {f"round_0{n}/checkpoints" for n in (1, 2, 3)},
    "bundles": {"round_01/weights", "round_02/weights"},
    "final": {f"round_0{n}/{kind}" for n in (1, 2) for kind in ("model", "detections")},
}


@pytest.mark.parametrize("keep", upkeep.KEEP)
def test_each_policy_removes_what_it_says_and_nothing_else(run: Run, keep: str) -> None:
    before = names(run)
    collect(run, keep)
    policies = upkeep.KEEP[: upkeep.KEEP.index(keep) + 1]
    assert gone(before, run) == set().union(*(FOLDERS[one] for one in policies))
    added = {*names(run)} - {*before}
    assert added == {f"round_0{n}/gc.json" for n in (1, 2, 3)}
    assert not [
        path for path in Path(run.uri).rglob("*") if path.is_dir() and not any(path.iterdir())
    ]


@pytest.mark.parametrize("keep", upkeep.KEEP)
def test_all_else_works_afterwards(run: Run, keep: str) -> None:
    collect(run, keep)
    found = [one for one in prepare(run.uri).findings() if one.state in ("damaged", "missing")]
    assert found == []
    assert steps.report(run.uri)["rounds"] == 3
    assert "<li>round 1: " in storage.read_bytes(run.report).decode()
    for number in (1, 2, 3):  # nothing is done again
        for task in ("train", "export", "evaluate", "merge"):
            before = storage.read_bytes(run.marker(number, task))
            steps.run_task(task, run.uri, number)
            assert storage.read_bytes(run.marker(number, task)) == before
    overrides = {"rounds": 4}
    steps.plan_rounds(
        "tests/data/micro.yaml",
        root=str(Path(run.uri).parents[1]),
        experiment_id="trial",
        overrides=overrides,
    )
    check_weights(run, 3)  # which the fourth begins with
    finish_round(run, 4)
    assert steps.report(run.uri)["rounds"] == 4


def test_a_dry_run_removes_nothing_and_says_how(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = names(run)
    assert main(["gc", run.uri, "--keep", "final"]) == 0
    assert names(run) == before
    said = capsys.readouterr().out
    assert "add --delete" in said
    assert "rounds after it cannot be done again" in said
    size = sum(Path(run.uri, name).stat().st_size for name in before if "/model/" in name)
    assert re.search(rf"^bundles +8 +{size * 2 / 3000:.1f} KB ", said, re.MULTILINE)
    assert main(["gc", run.uri, "--keep", "final", "--delete"]) == 0
    assert "Removed from 1 runs" in capsys.readouterr().out
    assert main(["gc", run.uri, "--keep", "final"]) == 0
    assert "Nothing may go" in capsys.readouterr().out


def test_a_missing_file_says_who_removed_it(run: Run) -> None:
    collect(run, "final")
    date = time.strftime("%Y-%m-%d", time.gmtime())
    with pytest.raises(ValueError, match=f"weights of round 1 were removed by gc on {date}"):
        rollback(run.uri, 2)
    with pytest.raises(ValueError, match=f"removed by gc on {date}; round 3 would begin with"):
        check_weights(run, 2)
    assert main(["detect", run.model(1), "tests"]) == 2
    storage.delete(run.marker(1, "export"))
    with pytest.raises(ValueError, match=f"removed by gc on {date}, so nothing can be exported"):
        steps.run_task("export", run.uri, 1)


def test_all_rounds_may_still_be_undone(run: Run) -> None:
    collect(run, "final")
    assert rollback(run.uri, 1)["rounds"] == [1, 2, 3]
    finish_round(run, 1)
    assert collected.read(run, 1) == {}  # the record went with the round


def test_with_all_rounds_kept_any_may_be_undone(run: Run) -> None:
    collect(run, "all-rounds")
    assert rollback(run.uri, 2)["rounds"] == [2, 3]
    assert main(["gc", run.uri, "--delete", "--unfinished"]) == 0
    assert not [name for name in names(run) if name.startswith("rolled_back/")]


def test_a_champion_and_what_a_run_began_with_stay(run: Run) -> None:
    root = str(Path(run.uri).parents[1])
    champion.set_champion(root, "nightly", run.uri, round_number=1, by="me")
    other = Run.of(root, "other")
    settings = storage.read_bytes(run.experiment).decode()
    begun = settings.replace("continue_from: null", f"continue_from: {run.round(2)}")
    storage.write_bytes(other.experiment, begun.encode())
    assert used_rounds(root) == {run.uri: {1, 2}}
    before = names(run)
    assert main(["gc", run.uri, "--keep", "final", "--delete"]) == 0
    assert not {f"round_0{n}/{kind}" for n in (1, 2) for kind in ("model", "weights")} & gone(
        before, run
    )
    assert champion.roll_back(root, "nightly", to=1, by="me")["round"] == 1


def test_a_champion_stays_where_its_root_is_seen_under_another_path(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, seen = Path(run.uri).parents[1], tmp_path / "mounted"
    champion.set_champion(str(root), "nightly", run.uri, round_number=1, by="me")
    for folder in ("champions", "experiments"):
        shutil.copytree(root / folder, seen / folder)
    assert main(["gc", str(seen), "--keep", "final", "--delete"]) == 0
    trial = seen / "experiments" / "trial"
    assert (trial / "round_01" / "model" / "bundle.json").exists()
    assert not (trial / "round_02" / "model").exists()
    record = seen / "champions" / "nightly" / "000001.json"
    record.write_text(record.read_text().replace(str(root), "/gone").replace("trial", "renamed"))
    assert main(["gc", str(trial), "--keep", "final", "--delete"]) == 2
    assert f"boxloop moved {seen} --from /gone --to {seen}" in capsys.readouterr().err
    assert main(["moved", str(seen), "--from", "/gone", "--to", str(seen)]) == 0
    assert main(["gc", str(trial), "--keep", "final"]) == 0  # it was deleted from here


@pytest.mark.parametrize("deletions", [0, 1, 5, 12])
def test_what_was_cut_off_is_told_of_and_finished(
    run: Run, monkeypatch: pytest.MonkeyPatch, deletions: int
) -> None:
    class Killed(BaseException):
        """What no handler of the product catches."""

    real, done = storage.delete, [0]

    def delete(uri: str) -> None:
        if done[0] == deletions:
            raise Killed
        done[0] += 1
        real(uri)

    before = names(run)
    monkeypatch.setattr(storage, "delete", delete)
    with pytest.raises(Killed):
        collect(run, "final")
    monkeypatch.undo()
    found = [one for one in prepare(run.uri).findings() if one.state in ("damaged", "missing")]
    assert found == []
    collect(run, "final")
    assert gone(before, run) == set().union(*FOLDERS.values())
    said = collected.read(run, 1)
    assert all(one["is_finished"] for one in said.values())
    went = Counter(
        content_of(name).kind for name in {*before} - {*names(run)} if "round_01" in name
    )
    assert {kind: one["files"] for kind, one in said.items()} == went


def test_what_makes_readers_trust_goes_first(run: Run) -> None:
    for folder in (run.model(1), run.weights(1), run.checkpoints(1)):
        storage.write_bytes(f"{folder}/a", b"what is first by its name")
    items = upkeep.plan_removal(run, "final", frozenset()).items
    first = {item.kind: item.names[0] for item in items if item.round_number == 1}
    assert first["bundles"] == "round_01/model/bundle.json"
    assert first["weights"] == "round_01/weights/checkpoint"
    assert first["checkpoints"] == "round_01/checkpoints/checkpoint"


def test_links_are_not_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    folder = Path(run.checkpoints(1))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "file").symlink_to(tmp_path / "elsewhere" / "mine.txt")
    shutil.move(run.checkpoints(2), tmp_path / "moved")
    Path(run.checkpoints(2)).symlink_to(tmp_path / "moved")
    collect(run, "final")
    assert (tmp_path / "elsewhere" / "mine.txt").read_text() == "mine"
    assert len(list((tmp_path / "moved").iterdir())) == 2
    assert (folder / "link").is_symlink()


def test_what_killed_writers_left_goes_when_it_is_old(run: Run) -> None:
    old, new = Path(run.records(1), ".tmp1234"), Path(run.records(1), ".tmp5678")
    stray = Path(run.uri, "round_01/detections/detections-00000-of-00001-00009-given_up.parquet")
    for path in (old, new, stray):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    collect(run, "all-rounds")
    assert (old.exists(), new.exists(), stray.exists()) == (False, True, False)


def busy(run: Run, seconds: float = 30, **options: Any) -> str:
    """Say why a run is at work; that it is not takes as long as given."""
    return idleness.why_busy(run, seconds=seconds, **options) or ""


def test_a_run_that_is_at_work_is_left_alone(run: Run) -> None:
    assert busy(run, 0.5) == ""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.05):
            storage.write_bytes(run.heartbeat(3), str(time.time_ns()).encode())

    thread = threading.Thread(target=beat)
    storage.write_bytes(run.heartbeat(3), b"1")
    thread.start()
    try:
        assert "has just changed: a task of this run is at work" in busy(run)
        assert busy(run, unfinished_too=True)
    finally:
        stop.set()
        thread.join()
    assert busy(run, 0.5) == ""  # nobody beats any more
    collect(run, "all-rounds")
    assert not storage.exists(run.heartbeat(3))


HOLDS = """
import sys, time
from boxloop import lease
with lease.hold(sys.argv[1], renew_seconds=0.1):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lease_counts_while_its_holder_lives(run: Run) -> None:
    command = [sys.executable, "-c", HOLDS, run.lease(3)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert "at work" in busy(run)
        holder.kill()
    started = time.monotonic()
    assert idleness.why_busy(run, seconds=60) is None  # the dead are not watched
    assert time.monotonic() - started < 30


def test_an_unfinished_run_is_left_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    storage.delete(run.report_summary)
    assert "its report is not written yet" in busy(run)
    rollback(run.uri, 3)
    assert "2 of 3 rounds are finished" in busy(run)
    storage.write_bytes(f"{run.weights(3)}/x", b"")
    assert "round 3 has begun and is not finished" in busy(run)
    before = names(run)
    assert main(["gc", run.uri, "--delete"]) == 1
    assert f"{run.uri}: left alone: round 3 has begun" in capsys.readouterr().out
    assert names(run) == before
    assert main(["gc", run.uri, "--delete", "--keep", "final", "--unfinished"]) == 0
    assert storage.exists(f"{run.weights(3)}/x")
    assert storage.exists(f"{run.weights(2)}/checkpoint")
    assert not storage.exists(f"{run.weights(1)}/checkpoint")


def test_a_rollback_that_was_cut_off_comes_first(run: Run) -> None:
    storage.write_json(
        f"{run.uri}/rolled_back/1/rollback.json", {"round": 3, "rounds": [3], "is_finished": False}
    )
    assert "a rollback was cut off; finish it first" in busy(run, unfinished_too=True)


def test_a_root_with_many_runs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(run.uri).parents[1]
    shutil.copytree(run.uri, root / "experiments" / "second")
    shutil.copytree(run.uri, root / "experiments" / "third")
    (root / "experiments" / "third" / "report" / "summary.json").unlink()
    assert main(["gc", str(root), "--delete"]) == 1
    said = capsys.readouterr().out
    assert "Removed from 2 runs" in said
    assert "experiments/third: left alone" in said
    assert (root / "experiments" / "third" / "round_01" / "checkpoints").is_dir()
    assert not (root / "experiments" / "second" / "round_01" / "checkpoints").exists()
    assert main(["gc", str(root / "data")]) == 2


def test_a_run_on_a_bucket(bucket: str) -> None:
    run = finished_run(f"{bucket}/collected", rounds=2)
    before = names(run)
    collect(run, "final")
    assert gone(before, run) == {
        *("round_01/checkpoints", "round_02/checkpoints", "round_01/weights"),
        *("round_01/model", "round_01/detections"),
    }
    states = {one.state for one in prepare(run.uri).findings()}
    assert not states & {"damaged", "missing"}
    assert "removed by gc" in states
    assert read_experiment(run.experiment).rounds == 2
