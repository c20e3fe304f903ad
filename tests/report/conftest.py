"""A small finished run, made by hand: two rounds of three, four candidate images."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from tests.report.evaluations import write_evaluation

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, XYXY, build_table, to_parquet
from boxloop.experiment import experiment_yaml
from boxloop.oracle_settings import StopConfig
from boxloop.settings import DataConfig, Experiment
from boxloop.train_settings import ModelConfig

ADOPTION_COLUMNS = {
    "image_id": "string",
    "image_label": "string",
    "class_name": "string",
    "score": "float64",
    **dict.fromkeys(XYXY, "float64"),
    "is_adopted": "bool",
    "reason": "string",
}
SEEN = (10, 10, 50, 50)  # IoU 1 with the true box of every pool image
MISSED = (40, 40, 60, 60)  # 100 of 1600 + 400 - 100 pixels: IoU 0.05

MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a builder of runs; `name` is what the first class is called.

    `evaluated` are the rounds whose evaluation has all figures.
    """

    def make(
        *,
        name: str = "pip",
        by: str = "labels",
        with_truth: bool = True,
        evaluated: Sequence[int] = (),
    ) -> Run:
        run = Run.of(str(tmp_path), "trial")
        _write_settings(run, by)
        _write_images(run)
        for number in (1, 2):
            _write_round(run, number, name)
        for number in evaluated:
            write_evaluation(run, number, name)
        if with_truth:
            rows = [_box(f"p{i}.jpg", name, SEEN) for i in range(4)]
            storage.write_bytes(run.truth, to_parquet(build_table(rows, BOX_COLUMNS)))
        storage.write_bytes(run.set_aside, b"path,reason\nimages/<b>.jpg,cannot be decoded\n")
        return run

    return make


def _adoptions(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return rows of image_id, label, class, score, box or None, is_adopted, reason."""
    flat = [(*row[:4], *(row[4] or [None] * 4), *row[5:]) for row in rows]
    return build_table(
        [dict(zip(ADOPTION_COLUMNS, row, strict=True)) for row in flat], ADOPTION_COLUMNS
    )


def _write_settings(run: Run, by: str) -> None:
    settings = Experiment(
        name="trial",
        model=ModelConfig(
            name="tiny", experiment="retinanet_mobile_coco", task="RetinaNet", input_size=[256, 256]
        ),
        data=DataConfig(uri="/data"),
        rounds=3,
        stop=StopConfig(images=4),
    )
    text = experiment_yaml(settings).replace(b"by: labels", f"by: {by}".encode())
    storage.write_bytes(run.experiment, text)


def _write_images(run: Run) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 300), "teal").save(buffer, "PNG")
    for name in ("t0", "t1", "p0", "p1", "p2"):
        storage.write_bytes(f"{run.uri}/images/{name}.jpg", buffer.getvalue())
    storage.write_bytes(f"{run.uri}/images/p3.jpg", b"no picture")


def _write_round(run: Run, number: int, name: str) -> None:
    rows = [
        ("p0.jpg", name, name, 0.9, SEEN, True, "adopted"),
        ("p1.jpg", name, name, 0.8, MISSED, True, "adopted"),
        ("p2.jpg", name, "tock", 0.7, SEEN, False, "another class"),
        ("p3.jpg", name, None, None, None, False, "nothing detected"),
    ]
    if number == 2:
        rows = [("p2.jpg", name, name, 0.6, SEEN, True, "adopted"), rows[3]]
    storage.write_bytes(run.adoptions(number), to_parquet(_adoptions(rows)))
    _write_dataset(run, number, name)
    evaluation = {"split": "test", "images": 100, "map50": 0.25 * number, "map": 0.1}
    evaluation["ap50_per_class"] = {name: 0.25 * number, "tock": None}
    storage.write_json(run.evaluation(number), evaluation)
    _write_summary(run, number, rows, evaluation)
    _write_timings(run, number)


def _write_dataset(run: Run, number: int, name: str) -> None:
    splits = {"t0": "train", "t1": "train", "p0": "pool", "p1": "pool", "p2": "pool", "p3": "pool"}
    images: list[dict[str, object]] = [
        {"image_id": f"{i}.jpg", "uri": f"{run.uri}/images/{i}.jpg", "split": split}
        | {"width": 400, "height": 300}
        for i, split in splits.items()
    ]
    boxes = [_box("t0.jpg", name, SEEN), _box("t1.jpg", "tock", SEEN)]
    if number == 2:
        boxes += [_box("p0.jpg", name, SEEN), _box("p1.jpg", name, MISSED)]
    folder = run.dataset(number)
    storage.write_bytes(f"{folder}/images.parquet", to_parquet(build_table(images, IMAGE_COLUMNS)))
    storage.write_bytes(f"{folder}/boxes.parquet", to_parquet(build_table(boxes, BOX_COLUMNS)))


def _box(image_id: str, class_name: str, xyxy: tuple[int, ...]) -> dict[str, object]:
    box = dict(zip(XYXY, xyxy, strict=True))
    return {"image_id": image_id, "class_name": class_name, "round": 0, "origin": "human"} | box


def _write_summary(
    run: Run, number: int, rows: Sequence[tuple[Any, ...]], evaluation: dict[str, Any]
) -> None:
    rejected = [row[6] for row in rows if not row[5]]
    summary = {
        "round": number,
        "model": "tiny",
        "parent_digest": storage.digest(run.summary(number - 1)) if number > 1 else None,
        "training_images": 2 * number,
        "candidates": len(rows),
        "adopted": len(rows) - len(rejected),
        "rejected": {reason: rejected.count(reason) for reason in rejected},
        "unreadable": ["p3.jpg"],
        **{key: evaluation[key] for key in ("map50", "map", "ap50_per_class")},
    }
    storage.write_json(run.summary(number), summary)


def _write_timings(run: Run, number: int) -> None:
    """Train 60 s from the start, predict 30 and 20 s in parallel, merge 5 s after a gap of 5 s."""
    start = 1000.0 + 200.0 * number
    spans = {
        "train": (0.0, 60.0),
        "predict-00000-of-00002": (60.0, 30.0),
        "predict-00001-of-00002": (60.0, 20.0),
        "merge": (95.0, 5.0),
    }
    for stem, (offset, seconds) in spans.items():
        timing = {"started": start + offset, "seconds": seconds}
        storage.write_json(run.timing(number, stem), timing)
