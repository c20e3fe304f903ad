from pathlib import Path

import pytest

from boxloop.child import INPUT_ERROR
from boxloop.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["run", "missing.yaml"], "missing.yaml", id="no experiment file"),
        pytest.param(
            ["run", "configs/experiments/demo.yaml", "--set", "train.stepps=5"],
            "unknown setting train.stepps",
            id="unknown setting",
        ),
        pytest.param(
            ["run", "configs/experiments/demo.yaml", "--set", "train.steps"],
            "--set takes NAME=VALUE",
            id="setting without value",
        ),
        pytest.param(
            ["run", "configs/experiments/demo.yaml", "--set", "model=yolo"],
            "not in the zoo; it has cascade_rcnn_spinenet49",
            id="unknown model",
        ),
        pytest.param(
            ["run", "configs/experiments/demo.yaml", "--set", "data={uri: /does/not/exist}"],
            "data folder /does/not/exist does not exist",
            id="no data folder",
        ),
        pytest.param(
            ["run", "configs/experiments/demo.yaml", "--rounds", "0"],
            "rounds must be in [1, 99], got 0",
            id="out of bounds",
        ),
    ],
)
def test_wrong_input_says_what_and_ends_with_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--root", str(tmp_path)]) == INPUT_ERROR
    assert message in capsys.readouterr().err
