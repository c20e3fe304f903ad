"""Import 7,000 VOC files with their images, beside bare parsing of the same files.

python benchmarks/import_voc.py     about a minute, 200 MB of temporary files

Prints `import_voc ratio`, progress going to stderr: seconds from the folder to a dataset version
that is written, over the seconds that lxml and Pillow need to parse the XML and to read the size
in the image's header, file by file; wanted: at most 2. Both run three times, in turns, and the
fastest of each counts. Near duplicates are not looked for, which would decode every image.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lxml import etree
from PIL import Image

from boxloop.data.dataset import write_dataset
from boxloop.data.formats.annotation import Box
from boxloop.data.formats.voc import build_voc
from boxloop.data.source import read_source
from boxloop.settings import DataConfig

NUM_FILES, TURNS = 7_000, 3
NUM_POOL = 20  # images without boxes, since an experiment needs some
CLASSES = [f"class_{number:02d}" for number in range(18)]
SIDE = 243  # pixels of noise, which make 25 KB


def main() -> None:
    """Make a folder, and read it both ways in turns."""
    with tempfile.TemporaryDirectory(prefix="boxloop-bench-") as name:
        folder = Path(name)
        make_folder(folder / "data")
        bare, ours = [], []
        for turn in range(TURNS):
            bare.append(_timed(lambda: _parse(folder / "data")))
            ours.append(_timed(lambda: _import(folder)))
            sys.stderr.write(f"turn {turn + 1} of {TURNS}: {bare[-1]:.2f} s, {ours[-1]:.2f} s\n")
    sys.stdout.write(f"import_voc ratio={min(ours) / min(bare):.2f}\n")


def make_folder(folder: Path) -> None:
    """Write images that differ in a comment, and VOC files of two boxes."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=50)
    (folder / "annotations").mkdir(parents=True)
    for number in range(NUM_FILES + NUM_POOL):
        class_name = CLASSES[number % len(CLASSES)]
        comment = b"\xff\xfe\x00\x0a%08d" % number
        path = folder / "images" / class_name / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue()[:2] + comment + buffer.getvalue()[2:])
        if number < NUM_FILES:
            boxes = [Box(class_name, 8, 8, 99, 120), Box(class_name, 60, 70, 200, 208)]
            xml = build_voc(path.name, SIDE, SIDE, boxes)
            (folder / "annotations" / f"{path.stem}.xml").write_bytes(xml)


def _parse(folder: Path) -> None:
    for path in sorted((folder / "annotations").iterdir()):
        root = etree.fromstring(path.read_bytes())
        for found in root.iterfind("object"):
            found.findtext("name")
            [int(found.findtext(f"bndbox/{name}") or 0) for name in ("xmin", "ymin")]
            [int(found.findtext(f"bndbox/{name}") or 0) for name in ("xmax", "ymax")]
    for path in sorted((folder / "images").rglob("*.jpg")):
        with Image.open(path) as image:
            _ = image.size


def _import(folder: Path) -> None:
    config = DataConfig(uri=str(folder / "data"), near_duplicates=False)
    source = read_source(str(folder / "data"), config, seed=1)
    if len(source.dataset.boxes) != 2 * NUM_FILES:
        raise ValueError(f"{2 * NUM_FILES} boxes were written, got {len(source.dataset.boxes)}")
    write_dataset(str(folder / "dataset"), source.dataset)


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
