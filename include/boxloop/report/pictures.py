"""Images with their true boxes and what was found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from boxloop.data.dataset import XYXY, Dataset, is_in
from boxloop.report.examples import ReadImage, Thumbnail, choose, read_thumbnail

VERDICTS = {"right": "T", "wrong": "F", "nothing": "N"}
"""What the hand check says of an image, and the letter that the 2018 study had for it."""


class Outline(NamedTuple):
    """A box to be drawn, in pixels of its image."""

    xyxy: tuple[float, float, float, float]
    class_name: str
    score: float | None
    """None for a true box."""

    @property
    def is_truth(self) -> bool:
        """Whether the box is a true one, and not a detection."""
        return self.score is None

    @property
    def label(self) -> str:
        """What is written on a detection; nothing on a true box."""
        return "" if self.score is None else f"{self.class_name} {self.score:.2f}"

    @property
    def place(self) -> tuple[float, float, float, float]:
        """The box as xmin, ymin, width, height."""
        xmin, ymin, xmax, ymax = self.xyxy
        return xmin, ymin, xmax - xmin, ymax - ymin


@dataclass(frozen=True)
class Outlines:
    """What to draw in each image, for one round: all that counts at its operating threshold."""

    truth: Mapping[str, pd.DataFrame]
    found: Mapping[str, pd.DataFrame]

    @classmethod
    def of(
        cls, evaluation: Mapping[str, Any], detections: pd.DataFrame | None, dataset: Dataset
    ) -> Outlines | None:
        """Return the outlines of a round, None where its detections were not kept."""
        if detections is None or "operating" not in evaluation:
            return None
        threshold = evaluation["operating"]["threshold"]
        images = dataset.split(evaluation["split"])["image_id"]
        truth = dataset.boxes[is_in(dataset.boxes["image_id"], images)]
        found = detections[detections["score"] >= threshold]
        return cls(*(dict(iter(table.groupby("image_id"))) for table in (truth, found)))

    def draw(self, image_id: str) -> list[Outline]:
        """Return the true boxes of an image, and over them the detections."""
        truth, found = self.truth.get(image_id, _NONE), self.found.get(image_id, _NONE)
        return [
            *(_outline(row, None) for row in truth.to_dict("records")),
            *(_outline(row, row["score"]) for row in found.to_dict("records")),
        ]


_NONE = pd.DataFrame()


def _outline(row: Mapping[Any, Any], score: float | None) -> Outline:
    xmin, ymin, xmax, ymax = (float(row[edge]) for edge in XYXY)
    return Outline((xmin, ymin, xmax, ymax), str(row["class_name"]), score)


def hand_checked(images: Sequence[Mapping[str, Any]], num_images: int) -> pd.DataFrame:
    """Choose images of the hand check, spread over classes and verdicts, blindly otherwise.

    Returns:
        image_id, class_name, verdict and score, by class, then T, F, N.
    """
    rows = pd.DataFrame(images, columns=["image_id", "class_name", "verdict", "score"])
    chosen = choose(rows.assign(_kind=rows["class_name"] + rows["verdict"]), "_kind", num_images)
    order = chosen["verdict"].map(list(VERDICTS).index)
    chosen = chosen.assign(_order=order).sort_values(["class_name", "_order", "image_id"])
    return chosen.drop(columns=["_kind", "_order"]).reset_index(drop=True)


def turned(before: pd.DataFrame | None, after: pd.DataFrame | None) -> tuple[list[str], list[str]]:
    """Return the images that became all right from one round to the next, and those that ceased.

    Args:
        before: image_id and is_right of the round before, or None where that is not known.
        after: the same of the round.

    Returns:
        Sorted image ids: won, lost. Images that only one of the rounds has are in neither.
    """
    if before is None or after is None:
        return [], []
    both = before[["image_id", "is_right"]].merge(
        after[["image_id", "is_right"]], on="image_id", suffixes=("_before", "_after")
    )
    was, now = both["is_right_before"].astype(bool), both["is_right_after"].astype(bool)
    return sorted(both.loc[now & ~was, "image_id"]), sorted(both.loc[was & ~now, "image_id"])


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image on the page."""

    image_id: str
    outlines: Sequence[Outline]
    thumbnail: Thumbnail | None
    """None where the image cannot be read."""


@dataclass(frozen=True)
class Shower:
    """Makes images ready for the page."""

    uris: Mapping[str, str]
    read: ReadImage

    def show(self, image_id: str, outlines: Outlines | None) -> Shown:
        """Return an image with what is to be drawn on it: nothing, where that is not known."""
        return self.show_these(image_id, outlines.draw(image_id) if outlines else [])

    def show_these(self, image_id: str, outlines: Sequence[Outline]) -> Shown:
        """Return the image with these drawn on it."""
        thumbnail = read_thumbnail(self.uris[image_id], self.read)
        return Shown(image_id=image_id, outlines=outlines, thumbnail=thumbnail)
