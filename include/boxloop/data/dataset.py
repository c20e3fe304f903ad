"""A dataset version: two tables, images and boxes, immutable, one version a round."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from boxloop import moved, storage
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.schema import fill_missing as fill_missing
from boxloop.data.schema import from_parquet as from_parquet
from boxloop.data.schema import read_as
from boxloop.data.schema import to_parquet as to_parquet

IMAGE_COLUMNS = {
    "image_id": "string",  # path below the data folder, without images/
    "uri": "string",
    "sha256": "string",
    "width": "int32",
    "height": "int32",
    "image_label": "string",  # null: not known
    "split": "string",  # train, validation, test, pool
    "group": "string",  # near duplicates share one
    "is_hidden": "bool",  # boxed by the user, in the pool all the same: see oracle.hidden_share
}
BOX_COLUMNS = {
    "image_id": "string",
    "class_name": "string",
    "xmin": "float64",  # pixels, 0-based, max edge exclusive
    "ymin": "float64",
    "xmax": "float64",
    "ymax": "float64",
    "origin": "string",  # human, adopted, reviewed, doubtful
    "round": "int32",  # the round that added it; 0 is the user's own
    "score": "float64",  # null for human boxes
    "model": "string",  # null for human boxes
    "weight": "float64",  # in training, in (0, 1]
    "difficult": "bool",  # the user's own word: trained on, not asked for in an evaluation
    "author": "string",  # who reviewed it; null for other origins
    "mode": "string",  # how it was judged: gated, study, review; null for human boxes
    "reason": "string",  # why it is here, in words; null for human boxes
}
REFUSED_COLUMNS = {
    "image_id": "string",
    "class_name": "string",  # null, like the box: nothing in the image is an object
    "xmin": "float64",
    "ymin": "float64",
    "xmax": "float64",
    "ymax": "float64",
    "round": "int32",
    "author": "string",
}
DETECTION_COLUMNS = {
    "image_id": "string",
    "class_name": "string",
    "score": "float64",  # in [0, 1]
    "xmin": "float64",  # pixels of the image, 0-based, max edge exclusive
    "ymin": "float64",
    "xmax": "float64",
    "ymax": "float64",
    "agreement": "float64",  # see boxloop/inference/agreement.py; null where nobody asked
}
HUMAN = "human"  # came with the user's data
ADOPTED = "adopted"  # detected, and right as far as the oracle knows
REVIEWED = "reviewed"  # accepted, mended or drawn by a person during a run
DOUBTFUL = "doubtful"  # detected beside an adopted box: neither object nor background in training
XYXY = ["xmin", "ymin", "xmax", "ymax"]


def build_table(rows: list[dict[str, object]], columns: dict[str, str]) -> pd.DataFrame:
    """Return rows as a table with exactly these columns and types, absent values null or False."""
    flags = dict.fromkeys((name for name, kind in columns.items() if kind == "bool"), False)
    return pd.DataFrame([flags | row for row in rows], columns=list(columns)).astype(columns)


@dataclass(frozen=True)
class Dataset:
    """Images and their boxes, with the columns above, sorted by image_id."""

    images: pd.DataFrame
    boxes: pd.DataFrame
    refused: pd.DataFrame = field(default_factory=partial(build_table, [], REFUSED_COLUMNS))
    """Boxes that people refused: no oracle adopts them again."""

    @property
    def class_names(self) -> list[str]:
        """Names that people gave to boxes of training images; class ids are 1, 2, ... in order."""
        train = self.images.loc[self.images["split"] == "train", "image_id"]
        boxes = self.boxes[(self.boxes["origin"] == HUMAN)]
        return sorted(boxes.loc[is_in(boxes["image_id"], train), "class_name"].unique())

    @property
    def class_counts(self) -> dict[str, int]:
        """Number of images to train on that show each class, in the order of class ids."""
        boxes = self.boxes.loc[self.boxes["origin"] != DOUBTFUL, ["image_id", "class_name"]]
        shown = boxes[is_in(boxes["image_id"], self.training_images["image_id"])]
        counts = shown.drop_duplicates()["class_name"].value_counts()
        return {name: int(counts.get(name, 0)) for name in self.class_names}

    def split(self, name: str) -> pd.DataFrame:
        """Return the images of a split."""
        return self.images[self.images["split"] == name]

    def boxes_in(self, images: pd.DataFrame) -> pd.DataFrame:
        """Return the boxes in some images that are of the classes above."""
        is_known = self.boxes["class_name"].isin(self.class_names)
        return self.boxes[is_known & is_in(self.boxes["image_id"], images["image_id"])]

    def annotations(self, name: str) -> list[Annotation]:
        """Return the images of a split with their boxes, as the formats write them."""
        images = self.split(name)
        rows = self.boxes.loc[is_in(self.boxes["image_id"], images["image_id"])]
        boxes: dict[str, list[Box]] = {}
        for image_id, *box in rows[["image_id", *Box._fields]].itertuples(index=False):
            boxes.setdefault(image_id, []).append(Box(*box))
        columns = (images[name] for name in ("image_id", "width", "height"))
        return [
            Annotation(image_id, tuple(boxes.get(image_id, ())), width, height)
            for image_id, width, height in zip(*columns, strict=True)
        ]

    @property
    def standing(self) -> pd.DataFrame:
        """The adopted boxes."""
        return self.boxes[self.boxes["origin"] == ADOPTED]

    def next_version(
        self, proposed: pd.DataFrame, reviewed: pd.DataFrame, refused: pd.DataFrame
    ) -> Dataset:
        """Return the dataset after a round: what is proposed for the images that it judged.

        Images that it did not judge keep their boxes: those in which people have said something.

        Args:
            proposed: all boxes of the detector that are to stand, with BOX_COLUMNS.
            reviewed: boxes from people in this round.
            refused: boxes that people refused in this round.
        """
        is_judged = is_in(self.boxes["image_id"], self.candidates["image_id"])
        boxes = [self.boxes[~is_judged], reviewed, proposed]
        return Dataset(
            self.images,
            pd.concat([table for table in boxes if len(table)], ignore_index=True),
            pd.concat([self.refused, refused], ignore_index=True).astype(REFUSED_COLUMNS),
        )

    def unhidden(self, truth: pd.DataFrame) -> Dataset:
        """Return the dataset with the boxes that were hidden from it, in the place of others.

        Args:
            truth: true boxes of pool images, with BOX_COLUMNS.
        """
        is_hidden = self.images["is_hidden"]
        hidden = self.images.loc[is_hidden, "image_id"]
        images = self.images.assign(
            split=self.images["split"].mask(is_hidden, "train"), is_hidden=False
        )
        boxes = [
            self.boxes[~is_in(self.boxes["image_id"], hidden)],
            fill_missing(truth, BOX_COLUMNS)[is_in(truth["image_id"], hidden)],
        ]
        return Dataset(images, pd.concat(boxes, ignore_index=True), self.refused)

    @property
    def training_images(self) -> pd.DataFrame:
        """Images of the train split, and of the pool once it has a box."""
        boxed = is_in(self.images["image_id"], self.boxes["image_id"])
        return self.images[self.images["split"].isin(["train", "pool"]) & boxed]

    @property
    def candidates(self) -> pd.DataFrame:
        """Pool images that the oracle judges: those without a box from people."""
        boxed = is_in(
            self.images["image_id"],
            self.boxes.loc[self.boxes["origin"].isin([HUMAN, REVIEWED]), "image_id"],
        )
        return self.images[(self.images["split"] == "pool") & ~boxed]


def is_in(values: pd.Series, among: pd.Series) -> pd.Series:
    """Return what `values.isin(among)` does, for text in a tenth of its time."""
    found = pc.is_in(pa.array(values), value_set=pa.array(among))
    return pd.Series(found.to_numpy(zero_copy_only=False), index=values.index)


def read_dataset(folder_uri: str) -> Dataset:
    """Read a dataset version.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it was written by a newer Boxloop.
    """
    images, boxes = (_read_table(folder_uri, kind) for kind in ("images", "boxes"))
    if moved.rules(folder_uri):
        now = [moved.here(uri, folder_uri) for uri in images["uri"]]
        images = images.assign(uri=pd.Series(now, index=images.index, dtype="string"))
    if not storage.exists(f"{folder_uri}/refused.parquet"):
        return Dataset(images, boxes)
    return Dataset(images, boxes, _read_table(folder_uri, "refused"))


def _read_table(folder_uri: str, kind: str) -> pd.DataFrame:
    uri = f"{folder_uri}/{kind}.parquet"
    return read_as(storage.read_bytes(uri), kind, uri)


def write_dataset(folder_uri: str, dataset: Dataset) -> None:
    """Write a dataset version: images.parquet, boxes.parquet, and refused.parquet if there are."""
    if len(dataset.refused):
        storage.write_bytes(f"{folder_uri}/refused.parquet", to_parquet(dataset.refused))
    storage.write_bytes(f"{folder_uri}/images.parquet", to_parquet(dataset.images))
    storage.write_bytes(f"{folder_uri}/boxes.parquet", to_parquet(dataset.boxes))
