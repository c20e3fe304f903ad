"""Pages about data alone: what is in a data set, and what is wrong with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from boxloop.data.dataset import DOUBTFUL, XYXY, Dataset
from boxloop.data.doctor import Ailment, Diagnosis
from boxloop.data.matching import ImageIndex
from boxloop.data.splits import SPLITS
from boxloop.report.environment import environment
from boxloop.report.examples import ReadImage, Thumbnail, choose, read_thumbnail

SHEET_IMAGES = 24
DOCTOR_IMAGES = 6  # of a kind
LISTED = 50
SIZE_EDGES = (0, 2, 5, 10, 20, 30, 50, 75, 100)  # percent of the image's side
_ORIGINS = ("human", "adopted", "reviewed")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """An image of the contact sheet; boxes are xmin, ymin, width, height in pixels."""

    image_id: str
    caption: str
    boxes: Sequence[tuple[float, float, float, float]]
    thumbnail: Thumbnail | None


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the section on data shows."""

    num_images: int
    num_boxes: int
    columns: Sequence[str]
    classes: Sequence[tuple[str, Sequence[int]]]
    """Class and its number of boxes in each column, the most frequent first."""
    sizes: Sequence[tuple[str, int]]
    sheet: Sequence[Shot]

    @property
    def most(self) -> int:
        """The largest count of the histogram, at least 1."""
        return max([1, *(number for _, number in self.sizes)])


class _DoctorShot(NamedTuple):
    path: str
    thumbnail: Thumbnail


def describe(dataset: Dataset) -> str:
    """Return classes by split and origin, and the sizes of boxes, as text for a terminal."""
    counts = class_counts(dataset).to_string()
    sizes = size_counts(dataset)
    longest = max([1, *sizes.values()])
    bars = [
        f"{label:>9}  {number:>9,}  {'#' * round(40 * number / longest)}"
        for label, number in sizes.items()
    ]
    return "\n".join([counts, "", "side of the box, in percent of the image", *bars, ""])


def build_data_facts(dataset: Dataset, read_image: ReadImage) -> DataFacts:
    """Return what the section on data shows; only the images of the contact sheet are read."""
    counts = class_counts(dataset)
    return DataFacts(
        num_images=len(dataset.images),
        num_boxes=len(_objects(dataset)),
        columns=list(counts.columns),
        classes=[(str(name), [int(n) for n in row]) for name, *row in counts.itertuples()],
        sizes=list(size_counts(dataset).items()),
        sheet=_sheet(dataset, read_image),
    )


def build_data_page(dataset: Dataset, title: str, read_image: ReadImage) -> str:
    """Return a page about a data set, complete in itself."""
    data = build_data_facts(dataset, read_image)
    return environment().get_template("data.html.j2").render(title=title, data=data)


def build_doctor_page(diagnosis: Diagnosis, verdict: str, read_image: ReadImage) -> str:
    """Return a diagnosis as a page, with pictures of the first images of each kind."""
    source = diagnosis.source
    find = _image_finder(diagnosis)
    return (
        environment()
        .get_template("doctor.html.j2")
        .render(
            title=diagnosis.uri,
            verdict=verdict,
            ailments=[(a, _shots(a, find, read_image)) for a in diagnosis.ailments],
            listed=LISTED,
            data=None if source is None else build_data_facts(source.dataset, read_image),
        )
    )


def class_counts(dataset: Dataset) -> pd.DataFrame:
    """Return the number of boxes by class, in all, by split and by origin."""
    boxes = _objects(dataset).merge(dataset.images[["image_id", "split"]], on="image_id")
    by_split = pd.crosstab(boxes["class_name"], boxes["split"])
    by_origin = pd.crosstab(boxes["class_name"], boxes["origin"])
    counts = pd.concat([by_split, by_origin], axis=1).reindex(
        columns=[*SPLITS, *(name for name in _ORIGINS if name in by_origin)], fill_value=0
    )
    counts.insert(0, "all", by_origin.sum(axis=1))
    return counts.sort_values("all", ascending=False, kind="stable")


def size_counts(dataset: Dataset) -> dict[str, int]:
    """Return how many boxes there are of each size, by the edges in SIZE_EDGES."""
    boxes = _objects(dataset).merge(dataset.images[["image_id", "width", "height"]], on="image_id")
    xmin, ymin, xmax, ymax = boxes[XYXY].to_numpy(float).T
    area = boxes["width"].to_numpy(float) * boxes["height"].to_numpy(float)
    side = 100 * np.sqrt((xmax - xmin) * (ymax - ymin) / area)
    counts, _ = np.histogram(side, bins=SIZE_EDGES)
    labels = [f"{low}-{high} %" for low, high in itertools.pairwise(SIZE_EDGES)]
    return {label: int(count) for label, count in zip(labels, counts, strict=True)}


def _objects(dataset: Dataset) -> pd.DataFrame:
    return dataset.boxes[dataset.boxes["origin"] != DOUBTFUL]


def _sheet(dataset: Dataset, read: ReadImage) -> list[Shot]:
    """Return images spread over the classes, with their boxes."""
    boxes = _objects(dataset)
    rows = choose(boxes.drop_duplicates("image_id"), "class_name", SHEET_IMAGES)
    uris = _uris(dataset)
    return [_shot(image_id, boxes, uris[image_id], read) for image_id in rows["image_id"]]


def _shot(image_id: str, boxes: pd.DataFrame, uri: str, read: ReadImage) -> Shot:
    own = boxes[boxes["image_id"] == image_id]
    return Shot(
        image_id=image_id,
        caption=", ".join(sorted(set(own["class_name"]))),
        boxes=[(x, y, right - x, bottom - y) for x, y, right, bottom in own[XYXY].to_numpy(float)],
        thumbnail=read_thumbnail(uri, read),
    )


def _shots(
    ailment: Ailment, find: Callable[[str], str | None], read: ReadImage
) -> list[_DoctorShot]:
    """Return pictures of the images that a kind of finding is about, where they can be read."""
    shots: list[_DoctorShot] = []
    for path in dict.fromkeys(found.path.partition(": ")[0] for found in ailment.findings):
        uri = find(path)
        if thumbnail := read_thumbnail(uri, read) if uri else None:
            shots.append(_DoctorShot(path, thumbnail))
        if len(shots) == DOCTOR_IMAGES:
            break
    return shots


def _image_finder(diagnosis: Diagnosis) -> Callable[[str], str | None]:
    """Return what gives the URI of the image that a file of the folder is, or is called like.

    Only images that the survey has listed are ever found: no link, nothing outside of the folder.
    """
    index = ImageIndex(diagnosis.image_uris)

    def find(path: str) -> str | None:
        found = (path,) if path in diagnosis.image_uris else index.by_stem(path).image_ids
        return diagnosis.image_uris[found[0]] if found else None

    return find


def _uris(dataset: Dataset) -> dict[str, str]:
    return dict(zip(dataset.images["image_id"], dataset.images["uri"], strict=True))
