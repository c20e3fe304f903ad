import math
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.detector.conftest import Train

pytestmark = [
    pytest.mark.slow,
    # Model Garden's backbones give the decoder more levels than it takes
    pytest.mark.filterwarnings("ignore:(?s).*did not match any model input:UserWarning"),
    pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning:official"),
]

SETTINGS = {"train.steps": 30, "train.checkpoint_interval": 10, "train.warmup_steps": 2}


def weights(folder: Path) -> dict[str, Any]:
    """Return every number of a trained detector by name."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "weights" / "detector-1"))
    found = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def scalars(folder: Path) -> dict[str, list[float]]:
    """Return the values of every scalar in the TensorBoard events below a folder."""
    import tensorflow as tf

    found: dict[str, list[float]] = {}
    for path in sorted(folder.rglob("*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                if array.dtype.kind == "f":
                    found.setdefault(value.tag, []).append(float(array))
    return found


class KillAt:
    """Send a SIGTERM once the training has reached a step."""

    def __init__(self, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
        from boxloop.detector import watch

        def tell(**progress: Any) -> None:
            if progress["step"] == step:
                os.kill(os.getpid(), signal.SIGTERM)

        monkeypatch.setattr(watch, "tell", tell)


def test_a_stopped_training_goes_on_and_ends_as_one_that_was_not(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path / "whole", SETTINGS)
    assert whole["steps"] == 30
    assert [step for step, _ in whole["loss_curve"]] == [10, 20, 30]
    KillAt(20, monkeypatch)
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "stopped", SETTINGS)
    assert stopped.value.code == 143
    assert not (tmp_path / "stopped" / "weights").exists()
    monkeypatch.undo()
    leftover = tmp_path / "stopped" / "checkpoints" / "ckpt-7.index"  # of a process that died
    leftover.touch()
    assert train(tmp_path / "stopped", SETTINGS) == whole
    assert not leftover.exists()
    assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))


def test_a_backbone_frozen_for_some_steps_learns_in_the_rest(train: Train, tmp_path: Path) -> None:
    def backbone(name: str) -> Any:
        found = weights(tmp_path / name)
        kernels = [found[key].ravel() for key in sorted(found) if "backbone" in key]
        return np.concatenate(kernels)

    for name, steps, freeze in (("start", 3, True), ("always", 10, True), ("at first", 10, 5)):
        train(tmp_path / name, {"train.steps": steps, "train.freeze_backbone": freeze})
    np.testing.assert_array_equal(backbone("always"), backbone("start"))
    assert not np.array_equal(backbone("at first"), backbone("start"))


def test_the_average_follows_from_where_training_began(train: Train, tmp_path: Path) -> None:
    slow = {"train.steps": 12, "train.freeze_backbone": 6, "train.ema": 0.9999}
    train(
        tmp_path / "start", {"train.steps": 2, "train.warmup_steps": 1, "train.learning_rate": 1e-9}
    )
    train(tmp_path / "averaged", slow)
    start, averaged = weights(tmp_path / "start"), weights(tmp_path / "averaged")
    kernels = [name for name in start if "backbone" in name and start[name].ndim == 4]
    distances = [np.abs(averaged[name] - start[name]).max() for name in kernels]
    assert 0 < max(distances) < 0.1 * max(np.abs(start[name]).max() for name in kernels)


def test_the_best_weights_become_the_detector_though_training_was_stopped(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**SETTINGS, "train.steps": 20, "train.keep": "best", "train.evaluate_every": 10}
    settings |= {"train.ema": 0.9, "train.freeze_backbone": True}
    train(tmp_path / "whole", settings)
    KillAt(10, monkeypatch)  # before the evaluation of that step
    with pytest.raises(SystemExit):
        train(tmp_path / "stopped", settings)
    monkeypatch.undo()
    train(tmp_path / "stopped", settings)
    assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
    found = [scalars(tmp_path / name)["AP50"] for name in ("whole", "stopped")]
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_tensorboard_gets_losses_speed_rate_and_metrics(train: Train, tmp_path: Path) -> None:
    train(tmp_path, {**SETTINGS, "train.evaluate_every": 30})
    found = scalars(tmp_path)
    assert {"total_loss", "cls_loss", "box_loss", "learning_rate", "images_per_second"} <= set(
        found
    )
    assert "PascalBoxes_PerformanceByCategory/AP@0.5IOU/a" in found
    assert all(value > 0 for value in found["images_per_second"])


def test_a_loss_that_is_no_number_names_step_images_and_what_to_do(
    train: Train, tmp_path: Path
) -> None:
    wild = {**SETTINGS, "train.learning_rate": 1e30, "train.clip_norm": 0.0}
    with pytest.raises(FloatingPointError) as error:
        train(tmp_path, wild)
    assert "the loss is not a finite number at step" in str(error.value)
    assert 1 <= str(error.value).count("scene_000") <= 4  # a batch, which may show one twice
    assert "lower train.learning_rate (now 1e+30)" in str(error.value)


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        pytest.param({"model_loss": 250.0}, "the loss is 250 at step 20, and was 2", id="ran away"),
        pytest.param({"box_loss": 0.0}, "from step 10 to 20: no box meets an anchor", id="no box"),
        pytest.param({"model_loss": math.nan}, "not a finite number at step 20", id="no number"),
    ],
)
def test_a_loss_that_makes_no_sense_stops_the_training(
    logs: dict[str, float], message: str
) -> None:
    from types import SimpleNamespace

    from boxloop.detector.watch import Watch
    from boxloop.train_settings import TrainConfig

    step = SimpleNamespace(numpy=lambda: 10)
    trainer = SimpleNamespace(global_step=step)
    runner = SimpleNamespace(
        trainer=trainer, checkpoint_manager=SimpleNamespace(latest_checkpoint=None)
    )
    watch = Watch(runner, TrainConfig(), on_checkpoint=lambda: None, should_stop=lambda: False)
    fine = {"total_loss": 2.0, "model_loss": 2.0, "box_loss": 0.1}
    watch._check(10, fine)
    with pytest.raises(FloatingPointError, match=re.escape(message)):
        watch._check(20, {**fine, **logs})


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"device.strategy": "mirrored", "device.precision": "mixed_bfloat16"}),
        pytest.param({"device.precision": "mixed_float16", "schedule": "step"}),
        pytest.param(
            {
                "balance_classes": True,
                "box_loss_on_adopted": False,
                "ignore_doubtful": False,
                "deterministic": False,
                "images": 8,
            }
        ),
    ],
    ids=lambda settings: " ".join(settings),
)
def test_settings_train(train: Train, tmp_path: Path, settings: dict[str, Any]) -> None:
    overrides = {f"train.{name}": value for name, value in settings.items()}
    assert train(tmp_path, {"train.steps": 2, "train.warmup_steps": 0, **overrides})["steps"] == 2
    assert all(np.isfinite(value).all() for value in weights(tmp_path).values())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_not_taken_for_memory_that_is_out() -> None:
    import tensorflow as tf

    from boxloop.detector.watch import explained
    from boxloop.train_settings import TrainConfig

    with pytest.raises(OSError, match="No space left"), explained(TrainConfig(), []):
        tf.io.write_file("/dev/full", "x" * 2**20)
