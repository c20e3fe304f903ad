"""A few pictures of a round: what it detects in test images, and what it adopted in the pool."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.borders import is_below
from boxloop.data.dataset import XYXY, Dataset, read_dataset
from boxloop.report.examples import choose
from boxloop.report.load import read_table
from boxloop.report.pictures import Outline, Outlines
from boxloop.report.summary import adopted_now
from boxloop_airflow.pages import pictures
from boxloop_airflow.rounds_page.figures import read_settings
from boxloop_airflow.rounds_page.kept import kept

COUNT = 6  # of each kind
SIDE = 320  # pixels
_MOST_BOXES = 30

Picture = dict[str, Any]


@kept(math.inf, most=32)
def build_examples(run: Run, number: int, stamp: str) -> dict[str, list[Picture]]:
    """Return pictures of a round, small, with what is to be drawn on each.

    Args:
        run: the run.
        number: of the round.
        stamp: when the tasks ended that made what is shown; another one is read anew.

    Returns:
        tested: test images, right and wrong in turn; adopted: pool images by class. Each has
        image_id, width, height, words, picture (a data: address, None where it cannot be shown)
        and boxes: edges, class_name and score, which is None for a true box.
    """
    if not storage.exists(f"{run.dataset(number)}/images.parquet"):
        return {"tested": [], "adopted": []}
    dataset = read_dataset(run.dataset(number))
    return {"tested": _tested(run, number, dataset), "adopted": _adopted(run, number, dataset)}


def _tested(run: Run, number: int, dataset: Dataset) -> list[Picture]:
    images = read_table(run.evaluated_images(number))
    if images is None or not storage.exists(run.evaluation(number)):
        return []
    evaluation = storage.read_json(run.evaluation(number))
    outlines = Outlines.of(evaluation, read_table(run.evaluated_detections(number)), dataset)
    if outlines is None:
        return []
    rows = choose(images, "is_right", COUNT).to_dict("records")
    words = {True: "all right", False: "not all right"}
    return _show(
        run,
        dataset,
        {str(row["image_id"]): outlines.draw(row["image_id"]) for row in rows},
        {str(row["image_id"]): words[bool(row["is_right"])] for row in rows},
    )


def _adopted(run: Run, number: int, dataset: Dataset) -> list[Picture]:
    adoptions = read_table(run.adoptions(number))
    if adoptions is None:
        return []
    rows = choose(adopted_now(adoptions), "class_name", COUNT).to_dict("records")
    return _show(
        run,
        dataset,
        {str(row["image_id"]): [_outline(row)] for row in rows},
        {str(row["image_id"]): f"label: {_text(row['image_label'])}" for row in rows},
    )


def _outline(row: Mapping[Any, Any]) -> Outline:
    xmin, ymin, xmax, ymax = (float(row[edge]) for edge in XYXY)
    return Outline((xmin, ymin, xmax, ymax), str(row["class_name"]), float(row["score"]))


def _text(label: Any) -> str:
    return "none" if pd.isna(label) else str(label)


def _show(
    run: Run,
    dataset: Dataset,
    outlines: Mapping[str, Sequence[Outline]],
    words: Mapping[str, str],
) -> list[Picture]:
    images = dataset.images[dataset.images["image_id"].isin(list(outlines))]
    facts = {str(row["image_id"]): row for row in images.to_dict("records")}
    experiment = read_settings(run)
    data_uri = str(experiment.data.uri) if experiment else None
    return [
        {
            "image_id": name,
            "width": int(facts[name]["width"]),
            "height": int(facts[name]["height"]),
            "words": words[name],
            "picture": _picture(facts[name], data_uri),
            "boxes": [
                {"edges": one.xyxy, "class_name": one.class_name, "score": one.score}
                for one in drawn[:_MOST_BOXES]
            ],
        }
        for name, drawn in outlines.items()
        if name in facts
    ]


def _picture(facts: Mapping[Any, Any], data_uri: str | None) -> str | None:
    """Return an image of the run's data as a data: address; of no other file."""
    uri = str(facts["uri"])
    if data_uri is None or not is_below(uri, data_uri):
        return None
    try:
        data = pictures.read_jpeg(uri, str(facts["sha256"]), None, SIDE)
    except ValueError:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
