from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.detector import exported

from boxloop import steps
from boxloop.child import stop_on_sigterm
from boxloop.experiment import read_experiment
from boxloop.ledger import task_value

MICRO = "tests/data/micro.yaml"
Train = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """TFRecord shards of a few drawn scenes, by split."""
    root = tmp_path_factory.mktemp("records")
    spec = steps.plan_rounds(MICRO, root=str(root), experiment_id="micro", overrides={})[0]
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, spec["run_uri"], 1)
    shards = task_value("write_tfrecords", spec["run_uri"], 1)["shards"]
    return {split: [Path(uri) for uri in uris] for split, uris in shards.items()}


@pytest.fixture(scope="session")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a micro detector that finds many things."""
    return exported.save_weights(1, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def bundle(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of those weights, to be read only."""
    return exported.export_bundle(weights_dir, tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture
def train(records: dict[str, list[Path]]) -> Train:
    """Train the micro detector in a folder, with settings laid over it."""

    def train(folder: Path, settings: dict[str, Any] | None = None, **named: Any) -> dict[str, Any]:
        from boxloop.detector import train as trainer

        data = trainer.Data(records["train"], records["validation"], ["a"] * 8, [4] * 8)
        arguments = {"previous_dir": None, "seed": 1, "on_checkpoint": lambda: None, **named}
        with stop_on_sigterm() as is_stopped:
            return trainer.train(
                read_experiment(MICRO, settings),
                data,
                model_dir=folder / "checkpoints",
                weights_dir=folder / "weights",
                is_stopped=is_stopped,
                **arguments,
            )

    return train
