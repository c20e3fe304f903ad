"""What a bundle's README says runs in a stranger's environment: no Boxloop, another folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.detector import exported

from boxloop.data.demo_scene import CLASSES
from boxloop.inference.portable import Detector

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*Input dict contained keys:UserWarning"),
]

ASK_FOR_MODULES = """
import json, runpy, sys
sys.argv = ["detect.py", *sys.argv[1:]]
try:
    runpy.run_path("detect.py", run_name="__main__")
except SystemExit as end:
    print(json.dumps({"code": end.code, "modules": sorted(sys.modules)}))
"""


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle elsewhere, with a photo in it."""
    folder = tmp_path / "copied"
    shutil.copytree(bundle, folder)
    (folder / "photo.jpg").write_bytes(exported.samples()[0])
    return folder


def run_python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def example(folder: Path, heading: str) -> str:
    """Return the code below a heading of the bundle's README."""
    section = (folder / "README.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(line[4:] for line in re.findall(r"^    .*$|^$", section, re.MULTILINE))


def test_the_script_detects_without_boxloop_and_tensorflow(copied: Path) -> None:
    done = run_python(copied, "-c", ASK_FOR_MODULES, "photo.jpg", "README.md", "none.jpg")
    first, text, none, end = (json.loads(line) for line in done.stdout.splitlines())
    assert first["detections"] == Detector(copied)((copied / "photo.jpg").read_bytes())
    assert "damaged or of an unknown format" in text["error"]
    assert "No such file" in none["error"]
    assert end["code"] == 1
    assert not {"boxloop", "tensorflow", "PIL", "pandas"} & set(end["modules"])


def test_the_examples_of_the_readme_run_as_they_stand(copied: Path) -> None:
    *_, command = example(copied, "Without TensorFlow").strip().splitlines()
    assert command == "python detect.py photo.jpg"
    script = run_python(copied, *command.split()[1:])
    assert script.returncode == 0, script.stderr
    expected = [each for each in json.loads(script.stdout)["detections"] if each["score"] > 0.3]
    done = run_python(copied, "-c", example(copied, "With TensorFlow"))
    assert done.returncode == 0, done.stderr
    printed = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert [float(score) for _, score, _ in printed] == pytest.approx(
        [each["score"] for each in expected], abs=1e-3
    )
    found = sorted(CLASSES[int(class_id) - 1] for class_id, _, _ in printed)
    assert found == sorted(each["class"] for each in expected)
