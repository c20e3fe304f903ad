"""Tables of 1,000,000 images with a box each: build, split, write, read, merge.

python benchmarks/million_rows.py     under a minute; nothing but tables, no image files

Prints `million_rows ratio`, progress going to stderr: seconds over the 60 that it may take. It
also fails where the peak memory of the process is more than 4 GiB.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time

import numpy as np
import pandas as pd

from boxloop.data.dataset import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    Dataset,
    build_table,
    read_dataset,
    write_dataset,
)
from boxloop.data.splits import assign_splits, main_classes, split_table

NUM_ROWS, NUM_CLASSES = 1_000_000, 100
SECONDS_AT_MOST, GIB_AT_MOST = 60, 4


def main() -> None:
    """Take a dataset of a million rows through all that happens to its tables."""
    clock = _Clock()
    boxes = _boxes(0)
    clock.tell("built the boxes")
    images = _images(boxes)
    clock.tell("assigned the splits")
    with tempfile.TemporaryDirectory(prefix="boxloop-bench-") as folder:
        write_dataset(f"{folder}/round_01", Dataset(images, boxes))
        dataset = read_dataset(f"{folder}/round_01")
        clock.tell("wrote and read a version")
        merged = dataset.next_version(
            _boxes(1)[: NUM_ROWS // 100], dataset.boxes[:0], dataset.refused
        )
        write_dataset(f"{folder}/round_02", merged)
        num = (len(merged.training_images), len(merged.candidates))
        clock.tell(f"merged a round; {num[0]} images to train on, {num[1]} candidates")
        sys.stderr.write(f"{split_table(merged).tail(1).to_string(index=False)}\n")
    seconds = clock.tell("counted images by class and split")
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stderr.write(f"{seconds:.1f} s, peak memory {gib:.2f} GiB\n")
    if gib > GIB_AT_MOST:
        sys.exit(f"peak memory is {gib:.2f} GiB, the limit is {GIB_AT_MOST}")
    sys.stdout.write(f"million_rows ratio={seconds / SECONDS_AT_MOST:.2f}\n")


class _Clock:
    def __init__(self) -> None:
        self._start = time.perf_counter()

    def tell(self, done: str) -> float:
        seconds = time.perf_counter() - self._start
        cpu = time.process_time()
        sys.stderr.write(f"{seconds:5.1f} s ({cpu:.1f} s of a processor): {done}\n")
        return seconds


def _boxes(round_number: int) -> pd.DataFrame:
    origin = "adopted" if round_number else "human"
    corners = np.random.default_rng(round_number).uniform(0, 100, (NUM_ROWS, 2)).tolist()
    rows: list[dict[str, object]] = [
        {"image_id": f"class/image_{number:07d}.jpg", "class_name": f"class_{number % NUM_CLASSES}"}
        | {"xmin": x, "ymin": y, "xmax": x + 50, "ymax": y + 50}
        | {"origin": origin, "round": round_number, "weight": 1.0}
        for number, (x, y) in enumerate(corners)
    ]
    return build_table(rows, BOX_COLUMNS)


def _images(boxes: pd.DataFrame) -> pd.DataFrame:
    names = boxes["image_id"]
    images = pd.DataFrame({"image_id": names, "uri": "/data/images/" + names, "group": names})
    images["image_label"] = images["image_id"].map(main_classes(boxes))
    images = images.assign(sha256=[f"{number:064x}" for number in range(len(names))])
    images = images.assign(width=256, height=256, is_boxed=True, stratum=images["image_label"])
    images["given"] = pd.Series(pd.NA, index=images.index, dtype="string")
    images["split"] = assign_splits(images, seed=1, test_share=0.2, validation_share=0.1)
    return images[list(IMAGE_COLUMNS)].astype(IMAGE_COLUMNS)


if __name__ == "__main__":
    main()
