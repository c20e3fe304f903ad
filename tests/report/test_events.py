import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.report.evaluations import evaluation

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.report.event_file import write_evaluation_events
from boxloop.report.events import build_events, evaluation_scalars

MakeRun = Callable[..., Run]
AP = "PascalBoxes_PerformanceByCategory/AP@0.5IOU/pip"
STEPS = 200  # a round: the default


READER = """
import base64, json, sys, types
sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")  # TensorFlow takes seconds
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
tags = events.Tags()
scalars = {
    tag: [(e.step, e.value, e.wall_time) for e in events.Scalars(tag)] for tag in tags["scalars"]
}
images = {
    tag: [
        (e.step, e.width, e.height, base64.b64encode(e.encoded_image_string).decode())
        for e in events.Images(tag)
    ]
    for tag in tags["images"]
}
print(json.dumps({"scalars": scalars, "images": images}))
"""


def _read(uri: str) -> dict[str, dict[str, Any]]:
    """Return scalars and images by tag, as TensorBoard reads them."""
    command = [sys.executable, "-c", READER, str(Path(uri).parent)]
    done = subprocess.run(command, check=True, capture_output=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def _points(events: dict[str, dict[str, Any]], tag: str) -> list[tuple[int, Any]]:
    return [(step, pytest.approx(value)) for step, value, _ in events["scalars"][tag]]


def _white(images: list[Any]) -> float:
    """Return the share of white in the only picture of a tag."""
    ((_, _, _, content),) = images
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        return float((np.asarray(picture.convert("L")) > 250).mean())


def test_rounds_are_one_curve(make_run: MakeRun) -> None:
    run = make_run(evaluated=(1, 2))
    events = _read(write_evaluation_events(run.uri, 2))
    for tag in (AP, "PascalBoxes_Precision/mAP@0.5IOU"):
        assert _points(events, tag) == [(STEPS, 0.25), (2 * STEPS, 0.5)]
    assert _points(events, "mAP@0.5 interval/low") == [(STEPS, 0.2), (2 * STEPS, 0.45)]
    losses = [(10, 4.0), (20, 2.0), (STEPS + 10, 2.0), (STEPS + 20, 1.0)]
    assert _points(events, "loss") == losses
    assert events["scalars"][AP][0][2] == 1460.0  # round 2 began at 1400 and trained for 60 s


def test_a_round_has_what_the_one_before_adopted_and_what_was_lost(make_run: MakeRun) -> None:
    events = _read(write_evaluation_events(make_run(evaluated=(1, 2)).uri, 2))
    for tag, value in (
        ("boxes adopted before/pip", 2),
        ("change of AP@0.5/pip", 0.25),
        ("test images/won", 1),
        ("test images/lost", 1),
    ):
        assert _points(events, tag) == [(2 * STEPS, value)]


def test_pictures_are_those_of_the_round(make_run: MakeRun) -> None:
    events = _read(write_evaluation_events(make_run(evaluated=(1, 2)).uri, 2))
    assert sorted(events["images"]) == ["hand check/pip", "lost"]
    for tag in ("hand check/pip", "lost"):
        ((step, *size, data),) = events["images"][tag]
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (step, picture.size) == (2 * STEPS, tuple(size))


def test_the_first_round_has_no_round_before(make_run: MakeRun) -> None:
    events = _read(write_evaluation_events(make_run(evaluated=(1, 2)).uri, 1))
    assert _points(events, AP) == [(STEPS, 0.25)]
    assert "test images/lost" not in events["scalars"]
    assert list(events["images"]) == ["hand check/pip"]


def test_an_older_evaluation_gives_what_it_has(make_run: MakeRun) -> None:
    events = _read(write_evaluation_events(make_run().uri, 1))
    assert _points(events, "mAP@0.5") == [(STEPS, 0.25)]
    assert list(events["images"]) == []


def test_an_unreadable_image_leaves_a_white_place(make_run: MakeRun) -> None:
    run = make_run(evaluated=(1, 2))
    whole = _read(write_evaluation_events(run.uri, 2))["images"]
    Path(run.uri, "images", "e0.jpg").write_bytes(b"no picture")
    torn = _read(write_evaluation_events(run.uri, 2))["images"]
    assert torn.keys() == whole.keys()
    assert _white(torn["hand check/pip"]) > _white(whole["hand check/pip"])


def test_the_same_evaluation_gives_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run(evaluated=(1, 2))
    first, again = (storage.read_bytes(write_evaluation_events(run.uri, 2)) for _ in range(2))
    assert first == again


def test_what_has_no_value_has_no_tag() -> None:
    found = evaluation_scalars(evaluation(1))
    assert "COCO AP/small" not in found
    assert AP.replace("pip", "tock") not in found
    assert found["operating threshold/f1"] == 0.63
    assert found["cost of errors/missed"] == 0.05


def test_no_events_are_a_file_all_the_same() -> None:
    assert build_events([], {}, wall_time=0.0)


def test_events_are_written_without_tensorflow() -> None:
    code = "import sys, boxloop.report.event_file; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
