"""docs/first-hour.md, followed to the letter: its own commands, in its own order, by a shell."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.data.folders import REAL_DATA
from tests.documents import PROJECT, commands

from boxloop.data.formats.annotation import Box
from boxloop.data.formats.voc import build_voc

PHOTOS = REAL_DATA / "microcontrollers"
LEFT_OUT = {
    "make setup": "the environment that runs this test is there",
    "make demo": "eleven minutes; the document's own quick variant is taken",
    "make airflow": "stays up until Ctrl-C; tests/e2e/ has its pages",
    "labelImg": "needs a screen; a box is drawn in a file instead",
    ".venv/bin/boxloop run mine.yaml --id first": "an hour; the rehearsal is the same, and short",
    ".venv/bin/boxloop run mine.yaml --id control": "an hour, of the same command",
}
"""Commands of the document that are not run, and why."""
NOT_IN_A_CLONE = (".*", "__pycache__", "*.egg-info", "build", "shared")
MINUTE = 60
TOO_LONG = 20 * MINUTE  # for one command; all of them take six on an idle machine
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60 * MINUTE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a newcomer has: a clean copy of the project, its environment, a folder of photos."""
    if not PHOTOS.is_dir():
        pytest.skip(f"needs photographs in {PHOTOS}, which are not part of the project")
    folder = tmp_path_factory.mktemp("newcomer") / "boxloop"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*NOT_IN_A_CLONE))
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    (folder / "photos").symlink_to(PHOTOS)
    return folder


@pytest.fixture(scope="module")
def typed(folder: Path) -> dict[str, str]:
    """What each command of the document printed, once all of them have run."""
    said: dict[str, str] = {}
    for command in commands(PROJECT / "docs" / "first-hour.md"):
        if command.is_inline or any(command.text.startswith(start) for start in LEFT_OUT):
            continue
        said[command.text] = _type(command.text, folder)
        if "review export" in command.text:
            _draw_a_box(folder / "to-review")
    return said


def _type(text: str, folder: Path) -> str:
    paths = [str(folder / "include"), str(folder / "plugins")]
    environment = {**os.environ, "LOGNAME": "newcomer", "PYTHONPATH": os.pathsep.join(paths)}
    for name in ("AIRFLOW_HOME", "BOXLOOP_ROOT"):
        environment.pop(name, None)
    process = subprocess.Popen(
        ["bash", "-c", text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=TOO_LONG)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)  # `boxloop demo` then stops its Airflow
        said, _ = process.communicate(timeout=MINUTE)
    assert process.returncode == 0, f"{text}\n{said[-3000:]}"
    return said


def _draw_a_box(folder: Path) -> None:
    """Do what somebody at labelImg would: draw one box in the first picture."""
    image = min((folder / "images").glob("*.jpg"))
    names = (folder / "classes.txt").read_text().split()
    drawn = build_voc(image.name, 800, 600, [Box(names[0], 100, 100, 300, 300)])
    image.with_suffix(".xml").write_bytes(drawn)


def _output(typed: dict[str, str], part: str) -> str:
    return next(said for text, said in typed.items() if part in text)


def test_the_quick_demo_ends_with_a_report(typed: dict[str, str]) -> None:
    assert "report/index.html" in _output(typed, "boxloop demo")


def test_the_doctor_and_the_import_tell_of_all_photos(typed: dict[str, str], folder: Path) -> None:
    assert "149 images and 177 boxes can be used" in _output(typed, "boxloop doctor")
    assert "149 images, 177 boxes" in _output(typed, "boxloop import")
    assert "<html" in (folder / "doctor.html").read_text()[:200].lower()


def test_the_run_asks_and_says_how_to_answer(typed: dict[str, str]) -> None:
    said = _output(typed, "--pause-for-review")
    assert "Round 1 asks people" in said
    assert "boxloop review export" in said


def test_answers_are_recorded_and_used(typed: dict[str, str], folder: Path) -> None:
    assert "1 correct" in _output(typed, "review import")
    summary = json.loads((_run(folder) / "round_01" / "summary.json").read_text())
    assert summary["reviewed"] >= 1


def test_both_rounds_are_trained_and_reported(typed: dict[str, str], folder: Path) -> None:
    rounds = json.loads((_run(folder) / "report" / "summary.json").read_text())["rounds"]
    assert [row["round"] for row in rounds] == [1, 2]
    assert rounds[1]["training_images"] > rounds[0]["training_images"]


def test_the_detector_works_at_home(typed: dict[str, str]) -> None:
    said = _output(typed, "boxloop detect").splitlines()
    lines = [json.loads(line) for line in said if line.startswith("{")]  # TFLite says hello
    assert len(lines) == 149
    assert all("detections" in line for line in lines)
    assert "IMG_20181228_101826.jpg" in _output(typed, "detect.py")


def _run(folder: Path) -> Path:
    return folder / ".boxloop" / "experiments" / "rehearsal"
