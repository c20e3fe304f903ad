"""Write TFRecords of 17,448 images of about 25 KB, beside copying the same files.

python benchmarks/tfrecords.py     about a minute, 2.5 GB of temporary files

Prints, progress going to stderr:
tfrecords_memory ratio   peak memory at 20,000 images over that at 2,000; wanted: at most 1.25,
                         since tables take 2 KB an image and only image bytes nothing
tfrecords_round ratio    bytes that a round writes which adopts 1 % of the images, over the bytes
                         that are there; wanted: at most 0.02
tfrecords ratio          images/s written over images/s copied (read and write, one by one);
                         wanted: at least 0.5, and 540 images/s, ten times those of the 2018 study

Both run on the same files in turns of 4,362, each beginning every other turn.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from boxloop import storage
from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, Dataset, read_dataset, write_dataset
from boxloop.records import write_records

NUM_IMAGES, TURNS = 17_448, 4
FEW, MANY = 2_000, 20_000
SIDE = 243  # pixels of noise, which make 25 KB


def main() -> None:
    """Make the files, then measure memory, a later round, and speed."""
    if len(sys.argv) == 3:
        dataset_uri, target = sys.argv[1:]
        write_records(target, read_dataset(dataset_uri), None)
        sys.stdout.write(_peak_kib())
        return
    with tempfile.TemporaryDirectory(prefix="boxloop-bench-") as name:
        folder = Path(name)
        images = make_images(folder / "images", MANY)
        _tell(f"{MANY} images of {Path(images['uri'][0]).stat().st_size} bytes each")
        memory = [_peak_of(folder, images[:num]) for num in (FEW, MANY)]
        _tell(f"peak memory {memory[0]:.0f} MiB at {FEW} images, {memory[1]:.0f} at {MANY}")
        written = _bytes_of_a_round(folder, images[:NUM_IMAGES])
        copied, ours = _seconds(folder, images[:NUM_IMAGES])
        _tell(f"copied {NUM_IMAGES / copied:.0f} images/s, wrote {NUM_IMAGES / ours:.0f} images/s")
    sys.stdout.write(f"tfrecords_memory ratio={memory[1] / memory[0]:.2f}\n")
    sys.stdout.write(f"tfrecords_round ratio={written:.4f}\n")
    sys.stdout.write(f"tfrecords ratio={copied / ours:.2f}\n")


def make_images(folder: Path, num: int) -> pd.DataFrame:
    """Write JPEG files that differ in a comment, and return their rows for a dataset."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=50)
    rows = []
    folder.mkdir()
    for number in range(num):
        comment = b"\xff\xfe\x00\x0a%08d" % number
        data = buffer.getvalue()[:2] + comment + buffer.getvalue()[2:]
        path = folder / f"{number:05d}.jpg"
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        rows.append((path.name, str(path), digest, SIDE, SIDE, "ace", "train", path.name))
    return pd.DataFrame(rows, columns=list(IMAGE_COLUMNS)).astype(IMAGE_COLUMNS)


def _dataset(images: pd.DataFrame) -> Dataset:
    """Return a dataset with a box in every image."""
    boxes = images[["image_id"]].assign(class_name="ace", origin="human", round=0, weight=1.0)
    boxes = boxes.assign(xmin=8.0, ymin=8.0, xmax=99.5, ymax=120.0, difficult=False)
    return Dataset(images, boxes.reindex(columns=list(BOX_COLUMNS)).astype(BOX_COLUMNS))


def _peak_of(folder: Path, images: pd.DataFrame) -> float:
    """Return the peak memory of a process that writes these images, in MiB."""
    dataset_uri, target = (str(folder / f"{name}_{len(images)}") for name in ("dataset", "peak"))
    write_dataset(dataset_uri, _dataset(images))
    command = [sys.executable, __file__, dataset_uri, target]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout) / 1024


def _peak_kib() -> str:
    # not getrusage, whose maximum a process inherits from the one that started it
    status = Path("/proc/self/status").read_text()
    return status.partition("VmHWM:")[2].split()[0]


def _bytes_of_a_round(folder: Path, images: pd.DataFrame) -> float:
    before = images[: round(len(images) / 1.01)]
    first = write_records(f"{folder}/round_01", _dataset(before), None)
    write_records(f"{folder}/round_02", _dataset(images), first)
    sizes = [
        sum(Path(uri).stat().st_size for uri in storage.list_files(f"{folder}/round_{number:02d}"))
        for number in (1, 2)
    ]
    return sizes[1] / sizes[0]


def _seconds(folder: Path, images: pd.DataFrame) -> tuple[float, float]:
    """Return the seconds that copying took and those that writing took."""
    copied = written = 0.0
    for turn in range(TURNS):
        dataset = _dataset(images[turn::TURNS].reset_index(drop=True))
        target = folder / f"turn_{turn}"
        target.mkdir()
        if turn % 2:
            written += _timed(lambda: write_records(f"{target}/records", dataset, None))  # noqa: B023
        copied += _timed(lambda: _copy(dataset.images["uri"].tolist(), target))  # noqa: B023
        if not turn % 2:
            written += _timed(lambda: write_records(f"{target}/records", dataset, None))  # noqa: B023
        _tell(f"turn {turn + 1} of {TURNS}: copied {copied:.2f} s, wrote {written:.2f} s in all")
    return copied, written


def _copy(uris: list[str], target: Path) -> None:
    for uri in uris:
        (target / Path(uri).name).write_bytes(Path(uri).read_bytes())


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
