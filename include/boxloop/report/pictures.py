"""Images of the test split with their true boxes and what was found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from boxloop.data.dataset import XYXY, Dataset, is_in
from boxloop.report.examples import ReadImage, Thumbnail, choose, read_thumbnail
from boxloop.report.summary import RoundFacts

VERDICTS = {"right": "T", "wrong": "F", "nothing": "N"}
"""What the hand check says of an image, and the letter that the 2018 study had for it."""


class Outline(NamedTuple):
    """A box to be drawn, in pixels of its image."""

    xyxy: tuple[float, float, float, float]
    label: str
    is_truth: bool

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
    def of(cls, facts: RoundFacts, dataset: Dataset) -> Outlines | None:
        """Return the outlines of a round, None where its detections were not kept."""
        detections = facts.evaluated_detections
        if detections is None or "operating" not in facts.evaluation:
            return None
        threshold = facts.evaluation["operating"]["threshold"]
        images = dataset.split(facts.evaluation["split"])["image_id"]
        truth = dataset.boxes[is_in(dataset.boxes["image_id"], images)]
        found = detections[detections["score"] >= threshold]
        return cls(*(dict(iter(table.groupby("image_id"))) for table in (truth, found)))

    def draw(self, image_id: str) -> list[Outline]:
        """Return the true boxes of an image, and over them the detections."""
        truth, found = self.truth.get(image_id, _NONE), self.found.get(image_id, _NONE)
        true = [Outline((*box,), name, True) for name, *box in _rows(truth, ["class_name"])]
        return true + [
            Outline((*box,), f"{name} {score:.2f}", False)
            for name, score, *box in _rows(found, ["class_name", "score"])
        ]


_NONE = pd.DataFrame(columns=["class_name", "score", *XYXY])


def _rows(table: pd.DataFrame, names: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(table[[*names, *XYXY]].itertuples(index=False, name=None))


def hand_checked(evaluation: Mapping[str, Any], num_images: int) -> list[dict[str, Any]]:
    """Choose images of the hand check, spread over classes and verdicts, blindly otherwise."""
    rows = pd.DataFrame(evaluation["hand_check"]["images"])
    if rows.empty:
        return []
    chosen = choose(rows.assign(_kind=rows["class_name"] + rows["verdict"]), "_kind", num_images)
    return [
        {str(name): value for name, value in row.items() if name != "_kind"}
        for row in chosen.sort_values(["class_name", "verdict", "image_id"]).to_dict("records")
    ]


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
    """Makes images of the test split ready for the page."""

    uris: Mapping[str, str]
    read: ReadImage

    def show(self, image_id: str, outlines: Outlines | None) -> Shown:
        """Return an image with what is to be drawn on it: nothing, where that is not known."""
        return Shown(
            image_id=image_id,
            outlines=outlines.draw(image_id) if outlines else [],
            thumbnail=read_thumbnail(self.uris[image_id], self.read),
        )
