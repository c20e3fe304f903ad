"""`boxloop verify`: whatever is changed or taken away is found, and told with what to do."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faulty_bucket import FaultyBucket
from tests.upkeep import finish_round, finished_run, names

from boxloop import ledger, steps, storage
from boxloop.artifacts import Run
from boxloop.cli import main
from boxloop.ledger import run_once
from boxloop.rollback import rollback
from boxloop.verification import prepare

# google-cloud-storage asks for a package that only its gRPC transport needs
pytestmark = pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished_run(str(tmp_path_factory.mktemp("verified")), rounds=2)


@pytest.fixture
def run(whole: Run, tmp_path: Path) -> Iterator[Run]:
    """The run; every change to it is taken back."""
    kept = shutil.copytree(whole.uri, tmp_path / "kept")
    yield whole
    shutil.rmtree(whole.uri)
    shutil.copytree(kept, whole.uri)


def wrong(run: Run) -> dict[str, str]:
    found = {one.name: one for one in prepare(run.uri).findings()}
    return {name: f"{f.kind} {f.state}" for name, f in found.items() if f.state != "ok"}


PASSING = {"checkpoints no digest", "timings no digest"}
BESIDE = {"detections no digest", "evaluations no digest"}
"""What tests/rounds.py writes beside its tasks."""


def test_a_whole_run_is_whole(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert {*wrong(run).values()} <= PASSING | BESIDE
    states = {one.kind: one.state for one in prepare(run.uri).findings() if one.state == "ok"}
    assert {"weights", "records", "bundles", "data sets", "report", "images"} <= {*states}
    assert main(["verify", run.uri]) == 0
    assert "nothing is damaged or missing" in capsys.readouterr().out


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def edit(**changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        value = json.loads(path.read_text())
        path.write_text(json.dumps({**value, **changes}))

    return change


@pytest.mark.parametrize("harm", [flip, Path.unlink], ids=["flip", "unlink"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dataset/round_02/boxes.parquet", "data sets"),
        ("dataset/final/images.parquet", "data sets"),
        ("dataset/truth.parquet", "data sets"),
        ("round_02/records/manifest.parquet", "records"),
        ("round_01/weights/detector-1.index", "weights"),
        ("round_01/model/saved_model.pb", "bundles"),
        ("round_02/model/bundle.json", "bundles"),
        ("round_02/evaluation.json", "evaluations"),
        ("round_01/adoptions.parquet", "adoptions"),
        ("report/index.html", "report"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_found(
    run: Run, name: str, kind: str, harm: Callable[[Path], None]
) -> None:
    harm(Path(run.uri, name))
    state = "missing" if harm is Path.unlink else "damaged"
    found = wrong(run)
    assert found[name] == f"{kind} {state}"
    assert [n for n, s in found.items() if s.endswith(("damaged", "missing"))] == [name]


@pytest.mark.parametrize("name", ["round_01/weights/checkpoint", "round_02/model/bundle.json"])
def test_a_file_that_was_cut_off_is_found(run: Run, name: str) -> None:
    cut(Path(run.uri, name))
    assert wrong(run)[name].endswith("damaged")


def test_detections_are_expected_where_the_marker_names_them(run: Run) -> None:
    part = next(name for name in names(run) if "round_01/detections/" in name)
    Path(run.uri, part).unlink()
    assert wrong(run)[part] == "detections missing"


@pytest.mark.parametrize("task", ["parse_annotations", "train", "merge"])
def test_a_marker_that_was_changed_breaks_the_chain(run: Run, task: str) -> None:
    edit(value={"training_images": 1})(Path(run.marker(1, task)))
    assert {"markers damaged", "summaries damaged"} & {*wrong(run).values()}


def test_settings_that_were_changed_break_the_chain(run: Run) -> None:
    path = Path(run.experiment)
    path.write_text(path.read_text().replace("seed: 1", "seed: 2"))
    assert wrong(run)["round_01/done/parse_annotations.json"] == "markers damaged"
    path.write_text("rounds: [")
    assert wrong(run)["experiment.yaml"] == "settings damaged"


def test_a_summary_of_another_round_is_found(run: Run) -> None:
    edit(adopted=1000)(Path(run.summary(1)))
    found = wrong(run)
    assert found["round_01/summary.json"] == "summaries damaged"
    assert found["round_02/summary.json"] == "summaries damaged"  # its parent is another


def test_a_bundle_of_another_export_is_found(run: Run) -> None:
    shutil.rmtree(run.model(2))
    shutil.copytree(run.model(1), run.model(2))
    assert wrong(run)["round_02/model/bundle.json"] == "bundles damaged"


@pytest.mark.parametrize("harm", [flip, Path.unlink], ids=["flip", "unlink"])
def test_a_picture_that_is_not_as_it_was_is_found(run: Run, harm: Callable[[Path], None]) -> None:
    picture = next(one.name for one in prepare(run.uri).findings() if one.kind == "images")
    before = Path(picture).read_bytes()
    harm(Path(picture))
    try:
        assert wrong(run)[picture].startswith("images")
        assert picture not in {one.name for one in prepare(run.uri, with_images=False).findings()}
    finally:
        Path(picture).write_bytes(before)


def test_what_nobody_wrote_is_told_and_no_harm(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(run.uri, "notes.txt").write_text("mine")
    left = Path(run.uri, "round_01/detections/detections-00001-of-00009-0000.parquet")
    left.write_bytes(b"")
    found = wrong(run)
    assert found["notes.txt"] == "others unexpected"
    assert found[str(left.relative_to(run.uri))] == "detections unexpected"
    assert main(["verify", run.uri, "--skip-images"]) == 0
    assert "unexpected" in capsys.readouterr().out.splitlines()[0]


def test_a_run_of_before_there_were_digests_is_valid(run: Run) -> None:
    for folder in Path(run.uri).rglob("digests"):
        shutil.rmtree(folder)
    found = wrong(run)
    assert not [s for s in found.values() if s.endswith(("damaged", "missing"))]
    flip(Path(run.dataset(2), "boxes.parquet"))  # the marker has its digest
    assert wrong(run)["dataset/round_02/boxes.parquet"] == "data sets damaged"
    assert steps.run_task("train", run.uri, 2) == {"loss_curve": []}  # is still done


def test_of_what_was_undone_nothing_is_missed(run: Run) -> None:
    storage.write_bytes(f"{run.decisions(2)}/1.json", b"cut off")
    rollback(run.uri, 2)
    found = wrong(run)
    assert not {name: s for name, s in found.items() if s.endswith(("damaged", "missing"))}
    assert found["report/index.html"] == "report no digest"  # it tells of rounds that are gone


def test_what_workers_of_another_detector_left_is_no_harm(run: Run) -> None:
    """They did their shares, then the bundle was made anew, and `predict` by another number."""
    worker = "predict-00001-of-00002"
    storage.write_json(run.marker(1, worker), {"fingerprint": "old", "value": {}})
    old = {"format": 1, "files": {"round_01/detections/old.parquet": ["0" * 64, 7]}}
    storage.write_json(run.digests(1, worker), old)
    run_once(run, 1, "predict-00001-of-00003", dict, started=0.0)
    found = wrong(run)
    assert {*found.values()} <= PASSING | BESIDE | {"markers no digest", "notes no digest"}
    assert [name for name in found if "/done/" in name] == [f"round_01/done/{worker}.json"]


def test_digests_change_no_marker(run: Run) -> None:
    before = Path(run.marker(2, "merge")).read_bytes()
    for folder in Path(run.uri).rglob("digests"):
        shutil.rmtree(folder)
    assert ledger.fits(run, 2, "merge")
    assert set(json.loads(before)) == {"fingerprint", "value"}


def test_the_command_says_where_what_and_what_to_do(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(Path(run.weights(1), "detector-1.index"))
    assert main(["verify", run.uri]) == 1
    said = capsys.readouterr().out
    assert "damaged: round_01/weights/detector-1.index: is not what was written; restore" in said
    assert f"boxloop rollback {run.uri} --round 1" in said
    assert "1 files are damaged or missing" in said


def test_no_run_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_run_on_a_bucket_is_verified(faulty: FaultyBucket) -> None:
    run = finished_run(f"{faulty.uri}/verified", rounds=1)
    assert not [s for s in wrong(run).values() if s.endswith(("damaged", "missing"))]
    storage.write_bytes(f"{run.weights(1)}/detector-1.index", b"weights of round 9")
    storage.delete(f"{run.dataset(2)}/boxes.parquet")
    found = wrong(run)
    assert found["round_01/weights/detector-1.index"] == "weights damaged"
    assert found["dataset/round_02/boxes.parquet"] == "data sets missing"
    picture = next(one.name for one in prepare(run.uri).findings() if one.kind == "images")
    names = ("weights/checkpoint", "done/train.json", "done/export.json", "model/bundle.json")
    refused = [*(f"round_01/{name}" for name in (*names, "gc.json")), "dataset/truth.parquet"]
    for name in (*refused, picture.removeprefix(faulty.uri)):
        faulty.strike("status", f"GET .*{name}", status=403, count=-1)
    found = wrong(run)
    assert {found[name].split()[-1] for name in (*refused, picture)} == {"damaged"}
    faulty.strike("status", r"GET .*dataset/round_02/images\.parquet", status=403, count=-1)
    assert wrong(run)["dataset/round_02/images.parquet"] == "data sets damaged"


def test_a_part_of_an_attempt_that_was_killed_gets_its_digest(tmp_path: Path) -> None:
    """Its writer ended before it could tell; the task that goes on reads it once."""
    run = finished_run(str(tmp_path), rounds=1)
    finish_round(run, 1)  # done already
    found = storage.read_json(run.digests(1, "predict"))["files"]
    assert len(found) == 2
