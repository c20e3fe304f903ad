"""TensorBoard itself, on events of a training that has not ended."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from boxloop import steps
from boxloop.artifacts import Run
from boxloop.experiment import CONFIGS
from boxloop.tensorboard_cli import URL

BOXLOOP = [sys.executable, "-m", "boxloop"]


def test_the_makefile_starts_it_where_airflow_links_to() -> None:
    makefile = (CONFIGS.parent / "Makefile").read_text()
    assert "tensorboard: $(VENV)/ready\n\t@$(BIN)/boxloop tensorboard\n" in makefile
    assert URL == "http://127.0.0.1:6006"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Any]]:
    """A training that would take hours."""
    root = tmp_path_factory.mktemp("runs")
    overrides = {"train.steps": 100_000, "train.checkpoint_interval": 100_000, "rounds": 1}
    specs = steps.plan_rounds(
        "tests/data/micro.yaml", root=str(root), experiment_id="a", overrides=overrides
    )
    run = Run(specs[0]["run_uri"])
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, run.uri, 1)
    command = [*BOXLOOP, "step", "train", "--run", run.uri, "--round", "1"]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield run, process
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_losses_are_shown_while_training_goes_on(training: tuple[Run, Any]) -> None:
    run, process = training
    root = Path(run.uri).parents[1]
    command = [*BOXLOOP, "tensorboard", "--root", str(root), "--port", "0"]
    board = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert board.stdout is not None
        lines = iter(board.stdout.readline, "")
        url = next(found[1] for line in lines if (found := re.search(r"at (http://\S+)/ ", line)))
        tags: list[str] = []
        end = time.monotonic() + 900
        while "total_loss" not in tags and time.monotonic() < end:
            time.sleep(2)
            found = httpx.get(f"{url}/data/plugin/scalars/tags", trust_env=False, timeout=60).json()
            tags = list(found.get("a/round_01/checkpoints/train", {}))
        assert {"total_loss", "images_per_second"} <= set(tags)
        assert process.poll() is None, "training has ended: nothing is shown by this"
    finally:
        board.terminate()
        board.communicate(timeout=60)
