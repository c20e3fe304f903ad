import re
import shlex
from pathlib import Path

import pytest
from tests.review_tool.tool import bring_back, decisions, edit_voc, export
from tests.reviews import SURE, decision, make_run

from boxloop import review, review_cli, storage
from boxloop.artifacts import Run
from boxloop.child import INPUT_ERROR
from boxloop.cli import main
from boxloop.review_export import FORMATS

Captured = pytest.CaptureFixture[str]


def test_the_commands_know_all_formats() -> None:
    assert review_cli.FORMATS == FORMATS


def test_a_closed_review_neither_goes_out_nor_comes_back(
    run: Run, folder: Path, capsys: Captured
) -> None:
    export(run, folder)
    edit_voc(folder)
    review.close(run, 1)
    for code in (bring_back(run, folder), export(run, folder / "more")):
        assert code == INPUT_ERROR
    assert capsys.readouterr().err.count("the review of round 1 is closed") == 2
    assert decisions(run) == {}


def test_status_tells_how_far_people_are(
    run: Run, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    review.record(run, 1, decision("a/sure.jpg", "accept", SURE, seconds=2.4))
    review.record(run, 1, decision("b/doubted.jpg", "skip", author="ben"))
    assert main(["review", "status", run.uri]) == 0
    cells = [one.strip() for one in capsys.readouterr().out.splitlines()[3].split("│")[1:-1]]
    assert cells == ["1", "3", "1", "1", "4", "anna 1, ben 0", "open"]
    storage.write_bytes(f"{run.decisions(1)}/half.json", b"{")
    review.close(run, 1)
    assert main(["review", "status", run.uri]) == 1
    said = capsys.readouterr()
    assert "closed" in said.out
    assert f"set aside: {run.decisions(1)}/half.json: decision: is not JSON" in said.err


@pytest.mark.parametrize("command", ["status", "export"])
def test_a_run_that_asks_nobody_is_an_error(command: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["review", command, str(tmp_path / "none")]) == INPUT_ERROR
    assert "no round has a review queue" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")
def test_run_and_images_may_lie_in_a_bucket(tmp_path: Path, bucket: str, folder: Path) -> None:
    local = make_run(tmp_path, image_root=f"{bucket}/photos")
    storage.upload_folder(Path(local.uri), f"{bucket}/experiments/remote")
    run = Run(f"{bucket}/experiments/remote")
    assert export(run, folder, "--link") == 0
    edit_voc(folder)
    assert bring_back(run, folder, "--author", "anna") == 0
    assert {action for action, _ in decisions(run).values()} == {"correct", "reject"}


def test_the_commands_of_the_documentation_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs/review.md").read_text()
    commands = re.findall(r"^ +boxloop (review .*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 5
    monkeypatch.chdir(tmp_path)
    for command in commands:
        arguments = shlex.split(command.replace("RUN", run.uri))
        assert main(arguments) == 0, command
