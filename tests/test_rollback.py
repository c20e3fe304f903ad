from pathlib import Path
from typing import Any

import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.child import INPUT_ERROR
from boxloop.cli import main
from boxloop.gcs import folders
from boxloop.lease import LeaseLostError, hold
from boxloop.rollback import check_rolled_back, rollback, started_rounds

# google-cloud-storage asks for a package that only its gRPC transport needs
pytestmark = pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")


@pytest.fixture(params=["local", "gs"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """A run of three rounds, the last one cut off before its merge."""
    root = str(tmp_path)
    if request.param == "gs":
        root = f"{request.getfixturevalue('bucket')}/{request.node.name}"
    run = Run.of(root, "trial")
    files = [run.experiment, run.truth, run.report, f"{run.final_dataset}/boxes.parquet"]
    for number in (1, 2, 3):
        files += [f"{run.dataset(number)}/boxes.parquet", run.marker(number, "train")]
        files += [f"{run.checkpoints(number)}/ckpt-1.index", f"{run.decisions(number)}/1.json"]
    for uri in (*files, run.summary(1), run.summary(2)):
        storage.write_bytes(uri, uri.removeprefix(run.uri).encode())
    return run


def names(run: Run, folder: str = "") -> list[str]:
    base = f"{run.uri}/{folder}".rstrip("/")
    return [uri.removeprefix(f"{base}/") for uri in storage.list_files(base)]


def test_a_rollback_moves_the_rounds_and_the_versions_they_made(run: Run) -> None:
    before = names(run)
    assert rollback(run.uri, 2) == {"rounds": [2, 3], "kept_in": f"{run.uri}/rolled_back/1"}
    left = [name for name in names(run) if not name.startswith("rolled_back/")]
    assert left == [
        "dataset/round_01/boxes.parquet",
        "dataset/round_02/boxes.parquet",
        "dataset/truth.parquet",
        "experiment.yaml",
        "report/index.html",
        *(name for name in before if name.startswith("round_01/")),
    ]
    kept = [name for name in names(run, "rolled_back/1") if name != "rollback.json"]
    assert sorted([*left, *kept]) == sorted(before)
    moved = f"{run.uri}/rolled_back/1/round_02/summary.json"
    assert storage.read_bytes(moved) == b"/round_02/summary.json"
    check_rolled_back(run)


def test_rounds_may_be_undone_again_and_again(run: Run) -> None:
    rollback(run.uri, 3)
    storage.write_bytes(run.summary(3), b"anew")
    rollback(run.uri, 3)
    assert storage.read_bytes(f"{run.uri}/rolled_back/2/round_03/summary.json") == b"anew"
    storage.delete_folder(f"{run.uri}/rolled_back/1")
    assert rollback(run.uri, 1)["kept_in"] == f"{run.uri}/rolled_back/3"
    assert started_rounds(run) == []
    assert storage.exists(f"{run.dataset(1)}/boxes.parquet")  # the user's own


def test_all_rounds_go_where_the_first_does(run: Run) -> None:
    assert rollback(run.uri, 1)["rounds"] == [1, 2, 3]
    with pytest.raises(ValueError, match="has no round 1 to undo: none has begun"):
        rollback(run.uri, 1)


class Killed(BaseException):
    """What no handler of the product catches."""


def cut_off(run: Run, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """Begin to undo round 2, and be killed after so many folders."""
    real, done = storage.move_folder, [0]

    def move(*arguments: Any, **options: Any) -> None:
        if done[0] == moves:
            raise Killed
        done[0] += 1
        real(*arguments, **options)

    monkeypatch.setattr(storage, "move_folder", move)
    with pytest.raises(Killed):
        rollback(run.uri, 2)
    monkeypatch.undo()


@pytest.mark.parametrize("moves", [0, 1, 2, 3, 4])
def test_a_rollback_that_was_cut_off_is_finished_by_the_same_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    before = names(run)
    cut_off(run, monkeypatch, moves)
    with pytest.raises(ValueError, match=r"boxloop rollback .* --round 2"):
        check_rolled_back(run)
    with pytest.raises(ValueError, match=r"finish it first: .* --round 2"):
        rollback(run.uri, 3)
    assert rollback(run.uri, 2) == {"rounds": [2, 3], "kept_in": f"{run.uri}/rolled_back/1"}
    check_rolled_back(run)
    found = [name.removeprefix("rolled_back/1/") for name in names(run)]
    assert sorted(found) == sorted([*before, "rollback.json"])
    assert started_rounds(run) == [1]


def test_a_kill_amid_a_round_leaves_it_unfinished(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What says that a round is finished goes first."""
    run = Run(f"{bucket}/amid")
    for name in ("done/merge.json", "a.bin", "summary.json"):
        storage.write_bytes(f"{run.round(1)}/{name}", b"")
    moved: list[str] = []
    real = folders.move_blob

    def killed_at_the_third(bucket: Any, name: str, target: str) -> None:
        if len(moved) == 2:
            raise Killed
        moved.append(name.rpartition("round_01/")[2])
        real(bucket, name, target)

    monkeypatch.setattr(folders, "move_blob", killed_at_the_third)
    with pytest.raises(Killed):
        storage.move_folder(run.round(1), f"{run.uri}/x", first=("summary.json", "done"))
    monkeypatch.undo()
    assert moved == ["summary.json", "done/merge.json"]
    assert names(run, "round_01") == ["a.bin"]


def test_a_trainer_that_still_runs_loses_its_lease(run: Run) -> None:
    lost: list[bool] = []
    with hold(run.lease(3), on_lost=lambda: lost.append(True)) as held:
        held.check()
        rollback(run.uri, 3)
        with pytest.raises(LeaseLostError, match="taken over"):
            held.check()
    assert not storage.exists(run.lease(3))


@pytest.mark.parametrize(
    ("number", "message"),
    [(4, "has no round 4 to undo: there are rounds 1 to 3"), (0, "has no round 0 to undo")],
)
def test_a_round_that_is_not_there_is_not_undone(run: Run, number: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rollback(run.uri, number)
    assert not names(run, "rolled_back")


def test_the_command_asks_and_says_what_it_did(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["rollback", run.uri, "--round", "2"]
    assert main(command) == INPUT_ERROR
    assert "nobody is there to be asked, so add --yes" in capsys.readouterr().err
    assert storage.exists(run.summary(2))
    assert main([*command, "--yes"]) == 0
    said = capsys.readouterr().out
    assert f"Undone: rounds 2 to 3 of {run.uri}; round 1 is its last now" in said
    assert f"kept in {run.uri}/rolled_back/1" in said
    assert f"--root {run.uri.rpartition('/experiments/')[0]} --id trial" in said
    assert main(["rollback", f"{run.uri}x", "--round", "1", "--yes"]) == INPUT_ERROR
    assert "holds no run" in capsys.readouterr().err
