"""A small data set of a user, to be spoilt by tests in one place each."""

import csv
import io
from pathlib import Path
from typing import Any

from PIL import Image

from boxloop.data.formats.annotation import Box
from boxloop.data.formats.voc import build_voc
from boxloop.data.source import Source, read_source
from boxloop.settings import DataConfig

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WIDTH, HEIGHT = 40, 30
BOX = Box("ace", 2, 3, 22, 23)


def picture(number: int, kind: str = "JPEG", size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A picture of one colour; another number is another file."""
    buffer = io.BytesIO()
    color = (number * 40 % 256, number // 6 * 20 % 256, 99)
    Image.new("RGB", size, color).save(buffer, kind)
    return buffer.getvalue()


class Data:
    """A user's folder: two classes, boxed train, validation and test images, and a pool."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[tuple[str, str, str]] = []
        for split, num in (("train", 4), ("val", 2), ("Test", 2), ("pool", 4)):
            for number in range(num):
                label = "ace" if number % 2 == 0 else "king"
                boxes = None if split == "pool" else [BOX._replace(class_name=label)]
                self.add(f"{split}_{number}.jpg", label, split, boxes)

    def add(self, name: str, label: str, split: str, boxes: list[Box] | None = None) -> None:
        self.write(f"images/{name}", picture(len(self.rows)))
        self.rows.append((name, label, split))
        if boxes is not None:
            self.annotate(name, boxes)

    def annotate(self, name: str, boxes: list[Box], folder: str = "annotations") -> None:
        path = Path(folder, name).with_suffix(".xml")
        self.write(str(path), build_voc(name, WIDTH, HEIGHT, boxes))

    def write(self, name: str, data: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)

    def config(self, **settings: Any) -> DataConfig:
        """Write the table, and return the settings."""
        text = io.StringIO()
        csv.writer(text).writerows([("filename", "image_label", "split"), *self.rows])
        if self.rows:
            self.write("image_labels.csv", text.getvalue().encode())
        return DataConfig(uri=str(self.folder), **settings)

    def read(self, seed: int = 1, **settings: Any) -> Source:
        return read_source(str(self.folder), self.config(**settings), seed=seed)
