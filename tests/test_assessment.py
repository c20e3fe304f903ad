import contextlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from boxloop import assessment, origin, prediction, storage
from boxloop.artifacts import Run
from boxloop.data.dataset import (
    BOX_COLUMNS,
    DETECTION_COLUMNS,
    IMAGE_COLUMNS,
    XYXY,
    Dataset,
    build_table,
    write_dataset,
)
from boxloop.experiment import experiment_yaml
from boxloop.settings import DataConfig, Experiment
from boxloop.train_settings import ModelConfig

BOX = dict(zip(XYXY, (10, 10, 50, 50), strict=True))
TESTS = [f"test_{number}.jpg" for number in range(8)]
SPLITS = {"train.jpg": "train", "validation.jpg": "validation", **dict.fromkeys(TESTS, "test")}


def row(image_id: str, score: float | None = None) -> dict[str, object]:
    return {"image_id": image_id, "class_name": "pip", "score": score, "round": 0, **BOX}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return two rounds that are to be evaluated; every image shows one object."""
    run = Run.of(str(tmp_path), "trial")
    model = ModelConfig(name="tiny", experiment="e", task="RetinaNet", input_size=[64, 64])
    settings = Experiment(name="trial", model=model, data=DataConfig(uri="/data"), rounds=2)
    storage.write_bytes(run.experiment, experiment_yaml(settings))
    images: list[dict[str, object]] = [
        {"image_id": image_id, "uri": f"{tmp_path}/{image_id}", "split": split}
        | {"width": 64, "height": 64}
        for image_id, split in SPLITS.items()
    ]
    boxes = [row(image_id) | {"origin": "human"} for image_id in SPLITS]
    dataset = Dataset(build_table(images, IMAGE_COLUMNS), build_table(boxes, BOX_COLUMNS))
    for number in (1, 2):
        write_dataset(run.dataset(number), dataset)
    monkeypatch.setattr(storage, "local_folder", contextlib.nullcontext)
    monkeypatch.setattr(prediction, "open_bundle", lambda *_, **__: (None, None))
    monkeypatch.setattr(origin, "complete_bundle", lambda *_: None)
    return run


def evaluate(
    run: Run, number: int, monkeypatch: pytest.MonkeyPatch, unreadable: set[str], score: float = 0.8
) -> dict[str, Any]:
    """Evaluate a round that finds every object of the images that it can read."""

    def detect(_: object, images: pd.DataFrame, **__: bool) -> tuple[pd.DataFrame, dict[str, str]]:
        readable = [image_id for image_id in images["image_id"] if image_id not in unreadable]
        found = [row(image_id, score) for image_id in readable]
        lost = {image_id: "gone" for image_id in images["image_id"] if image_id in unreadable}
        return build_table(found, DETECTION_COLUMNS), lost

    monkeypatch.setattr(prediction, "detect", detect)
    assessment.evaluate(run, number)
    evaluation: dict[str, Any] = storage.read_json(run.evaluation(number))
    return evaluation


@pytest.mark.parametrize(
    ("unreadable", "expected"),
    [(set(), (0.8, "validation")), ({"validation.jpg"}, (0.5, "default"))],
)
def test_it_is_kept_where_the_threshold_is_from(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    unreadable: set[str],
    expected: tuple[float, str],
) -> None:
    operating = evaluate(run, 1, monkeypatch, unreadable)["operating"]
    assert (operating["threshold"], operating["threshold_from"]) == expected


@pytest.mark.parametrize(("first", "second"), [({TESTS[0]}, set()), (set(), {TESTS[1]})])
def test_an_image_that_one_round_could_not_read_is_no_change(
    run: Run, monkeypatch: pytest.MonkeyPatch, first: set[str], second: set[str]
) -> None:
    before = evaluate(run, 1, monkeypatch, first)
    after = evaluate(run, 2, monkeypatch, second)
    assert [list(each["unreadable"]) for each in (before, after)] == [list(first), list(second)]
    assert (before["images"], after["images"]) == (8 - len(first), 8 - len(second))
    assert "map50_change_interval" not in before
    assert after["map50_change_interval"] == [0, 0]
