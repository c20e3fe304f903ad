"""A run that waits for people, made by hand: the demo's scenes, and boxes near the true ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import BOX_COLUMNS, XYXY, build_table, to_parquet, write_dataset
from boxloop.data.demo import draw_demo
from boxloop.data.source import read_source
from boxloop.experiment import build_data_config, experiment_yaml, read_experiment
from boxloop.oracle.queue import QUEUE_COLUMNS

MICRO = Path(__file__).parents[2] / "data" / "micro.yaml"
RUN_ID = "manual__2026-11-23T01:00:00+00:00"
"""The DAG run that made it."""
CROWDED = 20
"""Place in the queue of an image in which more boxes stand than the proposed one."""
OTHERS = [
    {"class_name": "pip", "xmin": 8.0, "ymin": 8.0, "xmax": 40.0, "ymax": 48.0},
    {"class_name": "tock", "xmin": 200.0, "ymin": 190.0, "xmax": 250.0, "ymax": 240.0},
]
STANDS = {"origin": "adopted", "round": 1, "weight": 1.0}


def make_run(folder: Path, *, pool: int, round_number: int = 1) -> Run:
    """Return a run whose round asks about every image of its pool; each fifth is to be drawn.

    Of some of those something was detected, which nobody is shown.
    """
    draw_demo(folder / "data", seed=3, boxed=16, pool=pool, validation=8, test=8)
    config = build_data_config({"uri": str(folder / "data")})
    source = read_source(str(folder / "data"), config, seed=3)
    run = Run(str(folder / "run"))
    experiment = read_experiment(str(MICRO), {"data.uri": str(folder / "data")})
    storage.write_bytes(run.experiment, experiment_yaml(experiment))
    write_dataset(run.dataset(round_number), source.dataset)
    images = source.dataset.images.set_index("image_id")
    truth = source.truth.drop_duplicates("image_id").reset_index(drop=True)
    rows = [_ask(row, images.loc[row["image_id"]], n) for n, row in truth.iterrows()]
    adopted = [rows[CROWDED] | box | STANDS for box in ({}, *OTHERS)]
    proposed = to_parquet(build_table(adopted, BOX_COLUMNS))
    storage.write_bytes(run.proposed_boxes(round_number), proposed)
    storage.write_bytes(run.queue(round_number), to_parquet(build_table(rows, QUEUE_COLUMNS)))
    return run


def _ask(truth: pd.Series, image: pd.Series, number: Any) -> dict[str, object]:
    asked = {"image_id": truth["image_id"], "image_label": image["image_label"], "value": 1.0}
    if number % 10 == 9:
        return {**asked, "action": "draw", "reason": "nothing was detected", "seconds": 7.0}
    is_weak = number % 10 == 4  # drawing takes less time than looking
    noise = np.random.default_rng(number).normal(0, 3, 4)
    edges = truth[XYXY].to_numpy(float) + noise
    limits = [image["width"], image["height"]] * 2
    return {
        **asked,
        **dict(zip(XYXY, np.clip(edges, 0, limits).tolist(), strict=True)),
        "class_name": truth["class_name"],
        "score": 0.6,
        "p_right": 0.55,
        "action": "draw" if is_weak else "verify",
        "reason": "near the threshold",
        "seconds": 1.8,
    }
