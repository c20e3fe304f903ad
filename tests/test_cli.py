from pathlib import Path
from typing import Any

import pytest

from boxloop import steps
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
            "a setting is NAME=VALUE",
            id="setting without value",
        ),
        pytest.param(
            ["run", "configs/experiments/demo.yaml", "--set", "model=yolo"],
            "not in the zoo; it has cascade_rcnn_spinenet49",
            id="unknown model",
        ),
        pytest.param(
            ["run", "configs/experiments/demo.yaml", "--set", "data={uri: /does/not/exist}"],
            "data.uri: folder /does/not/exist does not exist",
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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("train.steps is 0"), INPUT_ERROR),
        (FloatingPointError("the loss is nan at step 20"), INPUT_ERROR),
        (MemoryError("lower train.batch_size"), INPUT_ERROR),
        (RuntimeError("the lease is lost"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_exit_code_says_whether_to_try_again(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(steps, "run_task", fail)
    assert main(["step", "train", "--run", "r", "--round", "1"]) == code
