"""The oracle's decisions on a large pool: time, and memory against a tenth of it.

    python benchmarks/oracle.py [--detections 1000000]

Random detections, 50 an image and 20 classes, a tenth of the images with a box of an earlier round;
judged part by part as the task `match_labels` does it, calibration on 20,000 validation detections
and proposed boxes included. Prints

    oracle_memory   peak memory over that at a tenth of the detections (wanted: near 1; the table of
                    verdicts grows with the images)
    oracle          seconds over 30 (wanted: at most 1)
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from boxloop.data.dataset import (
    ADOPTED,
    BOX_COLUMNS,
    DETECTION_COLUMNS,
    HUMAN,
    IMAGE_COLUMNS,
    XYXY,
    Dataset,
    fill_missing,
)
from boxloop.oracle.pool import Part, calibrate_oracle, judge_pool, propose
from boxloop.oracle_settings import OracleConfig

AN_IMAGE, CLASSES, A_PART = 50, 20, 500
SECONDS_AT_MOST = 30
OBJECT = [100.0, 100.0, 200.0, 200.0]
NAMES = np.array([f"class_{number:02d}" for number in range(CLASSES)])


def main() -> None:
    """Judge a large pool and a small one, each in a process of its own."""
    parser = argparse.ArgumentParser(description="Benchmark of the oracle's decisions.")
    parser.add_argument("--detections", type=int, default=1_000_000)
    parser.add_argument("--child", action="store_true", help="for the benchmark itself")
    options = parser.parse_args()
    if options.child:
        sys.stdout.write("{} {}\n".format(*_measure(options.detections)))
        return
    (seconds, large), (_, small) = (
        _run(count) for count in (options.detections, options.detections // 10)
    )
    sys.stderr.write(f"{options.detections:,} detections: {seconds:.1f} s, {large:.0f} MiB\n")
    sys.stderr.write(f"{options.detections // 10:,} detections: {small:.0f} MiB\n")
    sys.stdout.write(f"oracle_memory ratio={large / small:.2f}\n")
    sys.stdout.write(f"oracle ratio={seconds / SECONDS_AT_MOST:.2f}\n")


def _run(count: int) -> tuple[float, float]:
    command = [sys.executable, __file__, "--child", "--detections", str(count)]
    seconds, mib = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.split()
    return float(seconds), float(mib)


def _measure(count: int) -> tuple[float, float]:
    """Return seconds and peak memory in MiB of judging so many detections."""
    config = OracleConfig(min_agreement=0.5, class_cap=2.0)
    images = _images(count // AN_IMAGE)
    truth = _boxes(images[images["split"] != "pool"], HUMAN)
    standing = _boxes(images[images["split"] == "pool"].iloc[::10], ADOPTED)
    dataset = Dataset(images, pd.concat([truth, standing], ignore_index=True))
    validation = _detections(images[images["split"] == "validation"], seed=1)
    began = time.perf_counter()
    drawing = 0.0

    def parts() -> Iterator[Part]:
        nonlocal drawing
        pool = images[images["split"] == "pool"]
        for start in range(0, len(pool), A_PART):
            paused = time.perf_counter()
            part = Part(
                _detections(pool.iloc[start : start + A_PART], seed=start),
                pool.iloc[start : start + A_PART],
            )
            drawing += time.perf_counter() - paused
            yield part

    calibration = calibrate_oracle(validation, dataset, config)
    judged = judge_pool(parts(), dataset, config, calibration)
    propose(judged, dataset.boxes[:0], dataset, config, round_number=2, model="model")
    seconds = time.perf_counter() - began - drawing
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _images(pool: int) -> pd.DataFrame:
    splits = np.repeat(["pool", "train", "validation"], [pool, 1000, 400])
    images = pd.DataFrame({"image_id": [f"{i:07d}.jpg" for i in range(len(splits))]})
    images["split"] = splits
    images["image_label"] = NAMES[np.arange(len(splits)) % CLASSES]
    return fill_missing(images, IMAGE_COLUMNS).astype(
        IMAGE_COLUMNS | {"width": "Int32", "height": "Int32"}
    )


def _boxes(images: pd.DataFrame, origin: str) -> pd.DataFrame:
    boxes = images[["image_id"]].assign(class_name=images["image_label"], origin=origin)
    boxes[XYXY] = OBJECT
    boxes = boxes.assign(round=1, score=0.9, model="model", weight=1.0)
    return fill_missing(boxes, BOX_COLUMNS).astype(BOX_COLUMNS)


def _detections(images: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return random detections; the first of an image is of its label and on the object."""
    draw = np.random.default_rng(seed)
    count = len(images) * AN_IMAGE
    corner = draw.uniform(0, 400, (count, 2)).round(1)
    found = pd.DataFrame(
        np.hstack([corner, corner + draw.uniform(20, 120, (count, 2))]), columns=XYXY
    )
    found["image_id"] = np.repeat(images["image_id"].to_numpy(object), AN_IMAGE)
    found["class_name"] = NAMES[draw.integers(0, CLASSES, count)]
    found["score"], found["agreement"] = draw.beta(1, 6, count), draw.uniform(0.3, 1, count)
    first = np.arange(0, count, AN_IMAGE)
    found.loc[first, "class_name"] = images["image_label"].to_numpy(object)
    found.loc[first, "score"] = draw.beta(6, 2, len(first))
    found.loc[first, XYXY] = np.add(OBJECT, draw.normal(0, 8, (len(first), 4)))
    return found[list(DETECTION_COLUMNS)].astype(DETECTION_COLUMNS)


if __name__ == "__main__":
    main()
