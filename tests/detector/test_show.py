"""What is shown is what training sees: boxes lie on the rectangles they were drawn around."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxloop.data.examples import build_shard, encode_example
from boxloop.data.formats.annotation import Box
from boxloop.experiment import read_experiment
from boxloop.report.contact_sheet import Picture
from boxloop.settings import Experiment
from boxloop.train_settings import ModelConfig

pytestmark = pytest.mark.slow

RCNN = ModelConfig(
    name="rcnn", experiment="fasterrcnn_resnetfpn_coco", task="Faster R-CNN", input_size=[128, 128]
)
ORIGINS = ["human", "adopted", "doubtful"]
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
BOXES = [Box("pip", 10, 20, 50, 60), Box("tock", 60, 10, 110, 40), Box("pip", 70, 50, 120, 90)]


@pytest.mark.parametrize("model", [None, RCNN], ids=["RetinaNet", "Faster R-CNN"])
def test_boxes_are_shown_where_training_sees_them(
    model: ModelConfig | None, tmp_path: Path
) -> None:
    original, *seen = _rows(_experiment(model), tmp_path)[0]
    assert original.pixels.shape == (100, 140, 3)
    assert [box.label for box in original.boxes] == ["pip", "tock", ""]
    assert [box.is_dashed for box in original.boxes] == [False, True, True]
    assert len(seen) == 3
    for picture in [original, *seen]:
        assert [_edges_of_colour(picture, box.label) for box in picture.boxes] == [
            pytest.approx(box.xyxy, abs=2) for box in picture.boxes
        ]


def test_the_settings_decide_what_is_seen(tmp_path: Path) -> None:
    still: dict[str, Any] = {"flip": False, "scale_min": 1.0, "scale_max": 1.0}
    rotated = {**still, "rotation": 20.0}
    num_views = []
    for settings in (still, rotated):
        _, *seen = _rows(_experiment(None, **settings), tmp_path)[0]
        num_views.append(len({picture.pixels.tobytes() for picture in seen}))
    assert num_views == [1, 3]


def test_the_command_writes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from boxloop.cli import main

    monkeypatch.setenv("BOXLOOP_ROOT", str(tmp_path))
    output = str(tmp_path / "sheet.png")
    command = ["train", "--show-augmented", "tests/data/micro.yaml", "--output", output]
    assert main([*command, "--count", "2", "--set", "train.augment.mosaic=0.5"]) == 0
    with Image.open(output) as sheet:
        width, height = sheet.size
    assert width > 4 * 200
    assert height > 2 * 200
    assert main([*command, "--count", "0"]) == 2


def _experiment(model: ModelConfig | None, **augment: Any) -> Experiment:
    settings = {f"train.augment.{name}": value for name, value in augment.items()}
    experiment = read_experiment("tests/data/micro.yaml", settings)
    return experiment if model is None else dataclasses.replace(experiment, model=model)


def _rows(experiment: Experiment, folder: Path) -> list[list[Picture]]:
    from boxloop.detector.show import show

    shard = folder / "train.tfrecord"
    shard.write_bytes(build_shard([_record()]))
    names = ["pip", "tock"]
    return show(experiment, [shard], class_names=names, class_counts=[1, 1], count=1)


def _record() -> bytes:
    """Return an example with a human, an adopted and a doubtful box, each of its own colour."""
    pixels = np.full((100, 140, 3), 128, np.uint8)
    for box, colour in zip(BOXES, COLOURS, strict=True):
        pixels[int(box.ymin) : int(box.ymax), int(box.xmin) : int(box.xmax)] = colour
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return encode_example(
        buffer.getvalue(),
        image_id="drawn.png",
        source_id=1,
        width=140,
        height=100,
        boxes=BOXES,
        class_ids=[1, 2, 3],
        origins=ORIGINS,
        scores=[1.0] * 3,
        weights=[1.0] * 3,
    )


def _edges_of_colour(picture: Picture, label: str) -> tuple[float, ...]:
    colour = COLOURS[["pip", "tock", ""].index(label)]
    rows, columns = np.nonzero(np.abs(picture.pixels.astype(int) - colour).max(axis=2) < 64)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
