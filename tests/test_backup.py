"""docs/operations.md, its backup and restore, word for word: to another path, and on from there."""

import re
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.documents import PROJECT
from tests.upkeep import finish_round, finished_run

from boxloop import champion, moved, steps, storage
from boxloop.artifacts import Run
from boxloop.cli import main
from boxloop.data.dataset import read_dataset
from boxloop.ledger import task_value
from boxloop.verification import prepare

# google-cloud-storage asks for a package that only its gRPC transport needs
pytestmark = pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")
MICRO = str(PROJECT / "tests" / "data" / "micro.yaml")


def lines_after(words: str) -> list[str]:
    """Return the next block of commands of the page after some words."""
    text = (PROJECT / "docs" / "operations.md").read_text().partition(words)[2]
    block = re.search(r"\n\n((?:    .+\n)+)", text)
    assert block
    return [line[4:] for line in block[1].splitlines()]


SAVE = lines_after("then the rest. So a backup")
RESTORE = lines_after("**Restore**")


def type_in(lines: list[str], folder: Path, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Type commands as they stand, in a folder; the names of the page stand for those here."""
    monkeypatch.chdir(folder)
    for line in lines:
        line = line.replace("BACKUP", str(old.parent / "backup"))
        line = line.replace("/old/project", str(old))
        words = shlex.split(line)
        if words[0] == "boxloop":
            assert main(words[1:]) == 0, line
        else:
            subprocess.run(["/bin/sh", "-c", line], check=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project on the old machine: a run of two rounds, a champion, Airflow's database."""
    if shutil.which("sqlite3") is None:
        pytest.skip("apt-get install sqlite3")
    folder = tmp_path_factory.mktemp("backup") / "old"
    run = finished_run(str(folder / ".boxloop"), rounds=2)
    champion.set_champion(str(folder / ".boxloop"), "nightly", run.uri, round_number=2, by="me")
    (folder / ".airflow").mkdir()
    with sqlite3.connect(folder / ".airflow" / "airflow.db") as database:
        database.execute("create table dag_run (id integer)")
    database.close()
    shutil.copytree(folder, folder.parent / "kept")
    return folder


@pytest.fixture
def old(project: Path) -> Iterator[Path]:
    """The same; whatever is done to it is taken back."""
    yield project
    for name in ("old", "new", "burnt", "backup"):
        shutil.rmtree(project.parent / name, ignore_errors=True)
    shutil.copytree(project.parent / "kept", project)


def restore(old: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Follow the page on a new machine, where nothing is left of the old one."""
    new = old.parent / "new"
    new.mkdir()
    shutil.move(old, old.parent / "burnt")
    type_in(RESTORE, new, old, monkeypatch)
    return Run.of(str(new / ".boxloop"), "trial")


def problems(run: Run) -> list[str]:
    found = prepare(run.uri).findings()
    return [one.name for one in found if one.state in ("damaged", "missing")]


def go_on(run: Run, number: int) -> None:
    root, _, name = run.uri.rpartition("/experiments/")
    steps.plan_rounds(MICRO, root=root, experiment_id=name, overrides={"rounds": number})
    for earlier in range(1, number):
        before = storage.read_bytes(run.marker(earlier, "merge"))
        steps.run_task("merge", run.uri, earlier)
        assert storage.read_bytes(run.marker(earlier, "merge")) == before
    finish_round(run, number)
    assert steps.report(run.uri)["rounds"] == number


def test_a_root_is_restored_at_another_path_and_goes_on(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(SAVE, old, old, monkeypatch)
    run = restore(old, monkeypatch)
    assert problems(run) == []
    go_on(run, 3)
    shards = task_value("write_tfrecords", run.uri, 3)["shards"]["train"]
    assert any("/round_01/" in uri for uri in shards)  # earlier ones are found here
    assert all(storage.exists(uri) and uri.startswith(run.uri) for uri in shards)
    assert set(read_dataset(run.dataset(4)).images["uri"].map(storage.exists)) == {True}
    assert not (old.parent / "old").exists()
    best = champion.current(str(old.parent / "new" / ".boxloop"), "nightly")
    assert best is not None
    assert storage.exists(f"{best['bundle_uri']}/bundle.json")
    assert champion.roll_back(run.uri.rpartition("/experiments/")[0], "nightly", to=1, by="me")
    with sqlite3.connect(old.parent / "new" / ".airflow" / "airflow.db") as database:
        assert database.execute("select count(*) from dag_run").fetchone() == (0,)
    database.close()


@pytest.mark.slow
def test_the_rounds_page_reads_what_was_restored(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boxloop_airflow.rounds_page.examples import build_examples
    from boxloop_airflow.rounds_page.figures import figures

    type_in(SAVE, old, old, monkeypatch)
    run = restore(old, monkeypatch)
    told = figures(run, (("1", "1"), ("2", "2")), 2, "x")
    assert len(told["rounds"]) == 2
    shown = build_examples(run, 1, "x")["adopted"]
    assert shown
    assert all(one["picture"] for one in shown)


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2, 3], ids=["database", "list of markers", "markers"])
def test_a_backup_amid_a_run_never_says_more_than_it_holds(
    old: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A whole round is done between two commands of the page."""
    run = Run.of(str(old / ".boxloop"), "trial")
    type_in(SAVE[: after + 1], old, old, monkeypatch)
    monkeypatch.chdir(PROJECT)
    go_on(run, 3)
    type_in(SAVE[after + 1 :], old, old, monkeypatch)
    restored = restore(old, monkeypatch)
    assert problems(restored) == []
    go_on(restored, 3)


def test_photos_that_moved_are_found(tmp_path: Path) -> None:
    run = finished_run(str(tmp_path / "root"), rounds=1)
    photos = tmp_path / "photos"
    shutil.copytree(tmp_path / "root" / "data" / "demo_seed_1", photos)
    own = finished_run(
        str(tmp_path / "root"), "own", rounds=1, **{"data.uri": str(photos), "data.drawn": {}}
    )
    shutil.move(photos, tmp_path / "elsewhere")
    assert len(problems(own)) == len(read_dataset(own.dataset(1)).images)
    command = ["moved", own.uri, "--from", str(photos), "--to", str(tmp_path / "elsewhere")]
    assert main(command) == 0
    assert main(command) == 0  # the same again
    assert problems(own) == []
    assert problems(run) == []
    assert len(moved.rules(own.uri)) == 1
    assert moved.rules(run.uri) == ()


@pytest.mark.parametrize(
    ("new", "message"),
    [("nowhere", "there is nothing in"), ("photos/more", "lies in")],
)
def test_a_move_to_nowhere_is_refused(
    tmp_path: Path, new: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos" / "more").mkdir(parents=True)
    command = ["moved", str(tmp_path), "--from", str(tmp_path / "photos"), "--to"]
    assert main([*command, str(tmp_path / new)]) == 2
    assert message in capsys.readouterr().err


def test_moves_follow_each_other(tmp_path: Path) -> None:
    owner = str(tmp_path / "experiments" / "a")
    moved.add_rule(owner, "/one", "/two")
    moved.add_rule(owner, "/two", "gs://b/three")
    assert moved.here("/one/x.jpg", f"{owner}/dataset/round_01") == "gs://b/three/x.jpg"
    assert moved.here("/ones/x.jpg", owner) == "/ones/x.jpg"
    assert moved.value_here({"a": ["/two", 1]}, owner) == {"a": ["gs://b/three", 1]}
    assert moved.here("/one", str(tmp_path / "experiments" / "b")) == "/one"


@pytest.mark.slow
def test_a_run_moves_from_a_folder_to_a_bucket(tmp_path: Path, bucket: str) -> None:
    run = finished_run(str(tmp_path / "root"), rounds=1)
    there = f"{bucket}/restored"
    storage.upload_folder(tmp_path / "root", there)
    shutil.rmtree(tmp_path / "root")
    assert main(["moved", there, "--from", str(tmp_path / "root"), "--to", there]) == 0
    run = Run.of(there, "trial")
    assert problems(run) == []
    go_on(run, 2)
    assert problems(run) == []
