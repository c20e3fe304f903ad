"""Draw the demo data set: eight cartoon characters in landscapes, from a seed.

How a scene looks, and how hard it is: demo_scene.py.
Pictures and their licence: sprites/LICENSE.md.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from boxloop.data import demo_scene
from boxloop.data.demo_scene import CLASSES, FREQUENCIES, draw_scene
from boxloop.data.formats.annotation import Box
from boxloop.data.formats.voc import build_voc

JPEG_QUALITY = 88


def draw_demo(
    folder: Path, *, seed: int, boxed: int, pool: int, validation: int, test: int
) -> None:
    """Draw scenes into a folder; return at once where the same ones are there already.

    Writes images/, annotations/ (VOC, for all but the pool), truth/ (the pool's boxes, for
    measuring only), image_labels.csv and, last, demo.json. Scenes of an earlier call with other
    parameters are removed.

    Args:
        folder: made if missing.
        seed: the same seed and sizes give the same bytes.
        boxed: images of the split `train`, with boxes.
        pool: images with an image-level label only.
        validation: images with boxes, for choosing.
        test: images with boxes, for measuring.

    Raises:
        ValueError: if a size is negative.
    """
    sizes = {"train": boxed, "pool": pool, "validation": validation, "test": test}
    marker = _marker(seed, sizes)
    if _read(folder / "demo.json") == marker:
        return
    plan = _plan(seed, sizes)
    _clear(folder)
    for index, (split, label) in enumerate(plan):
        _write_scene(folder, index, split, *draw_scene(np.random.default_rng([seed, index]), label))
    _write_labels(folder / "image_labels.csv", plan)
    (folder / "demo.json").write_text(marker)


def class_sizes(num_images: int) -> dict[str, int]:
    """Deal images to the classes: geometric, by largest remainder, two for each if possible.

    Raises:
        ValueError: if the number is negative.
    """
    if num_images < 0:
        raise ValueError(f"a split cannot have {num_images} images")
    shares = num_images * FREQUENCIES / FREQUENCIES.sum()
    sizes = np.floor(shares).astype(int)
    largest = np.argsort(sizes - shares, kind="stable")[: num_images - sizes.sum()]
    sizes[largest] += 1
    while sizes.min() < 2 <= num_images // len(CLASSES):
        sizes[sizes.argmax()] -= 1
        sizes[sizes.argmin()] += 1
    return dict(zip(CLASSES, sizes.tolist(), strict=True))


def _marker(seed: int, sizes: dict[str, int]) -> str:
    """Say what is drawn and by which code, so that a change of either draws anew."""
    source = b"".join(Path(path).read_bytes() for path in (__file__, demo_scene.__file__))
    parameters = {"seed": seed, **sizes, "drawn_by": hashlib.sha256(source).hexdigest()}
    return json.dumps(parameters, indent=2) + "\n"


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _plan(seed: int, sizes: dict[str, int]) -> list[tuple[str, str]]:
    """Return split and class of every scene, shuffled so that the number tells neither."""
    dealt = [
        (split, label)
        for split, num_images in sizes.items()
        for label, num in class_sizes(num_images).items()
        for _ in range(num)
    ]
    return [dealt[i] for i in np.random.default_rng(seed).permutation(len(dealt))]


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.json").write_text("{}\n")  # ours, and not whole: another attempt draws anew
    for name in ("images", "annotations", "truth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for path in sorted((folder / name).glob("scene_*")):
            path.unlink()


def _write_scene(
    folder: Path, index: int, split: str, scene: Image.Image, boxes: Sequence[Box]
) -> None:
    stem = f"scene_{index:05d}"
    scene.save(folder / "images" / f"{stem}.jpg", quality=JPEG_QUALITY)
    xml = build_voc(f"{stem}.jpg", *scene.size, boxes)
    (folder / ("truth" if split == "pool" else "annotations") / f"{stem}.xml").write_bytes(xml)


def _write_labels(path: Path, plan: Sequence[tuple[str, str]]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["filename", "image_label", "split"])
    rows.writerows(
        [f"scene_{index:05d}.jpg", label, split] for index, (split, label) in enumerate(plan)
    )
    path.write_text(text.getvalue())
