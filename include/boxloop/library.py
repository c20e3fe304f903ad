"""The library of a nightly retraining: images that were taken in, and who said what about them.

Pictures and dataset versions are named by their content and never changed; a night's record,
written once and last, says which version it left. So a night that is killed at any instant and run
again comes to the same, and any earlier state can be gone back to. The library holds what people
said alone; what detectors adopted is carried from the champion's own data set.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from boxloop import storage
from boxloop.artifacts import Library
from boxloop.data.dataset import (
    BOX_COLUMNS,
    HUMAN,
    IMAGE_COLUMNS,
    REVIEWED,
    XYXY,
    Dataset,
    build_table,
    fill_missing,
    from_parquet,
    is_in,
    read_dataset,
    to_parquet,
    write_dataset,
)
from boxloop.data.splits import HELD_OUT
from boxloop.inbox import Item, digest_of

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "GIF": ".gif", "TIFF": ".tif"}


class Version(NamedTuple):
    """What a library holds."""

    dataset: Dataset
    truth: pd.DataFrame
    """True boxes of pool images, for the report alone."""


def read_version(library: Library, digest: str) -> Version:
    """Read a version of a library.

    Raises:
        FileNotFoundError: if there is none.
    """
    uri = library.version(digest)
    return Version(read_dataset(uri), from_parquet(storage.read_bytes(f"{uri}/truth.parquet")))


def write_version(library: Library, version: Version) -> str:
    """Write a version, unless it is there; return its digest.

    Raises:
        ValueError: if two images have the same name.
    """
    dataset = version.dataset
    if not dataset.images["image_id"].is_unique:
        names = dataset.images.loc[dataset.images["image_id"].duplicated(), "image_id"]
        raise ValueError(f"{library.uri}: two images are called {names.iloc[0]!r}: nothing written")
    tables = (dataset.images, dataset.boxes, dataset.refused, version.truth)
    found = [hashlib.sha256(to_parquet(table)).hexdigest() for table in tables]
    digest = digest_of(found)[:16]
    storage.write_bytes(f"{library.version(digest)}/truth.parquet", to_parquet(version.truth))
    write_dataset(library.version(digest), dataset)
    return digest


def found_library(library: Library, dataset: Dataset, truth: pd.DataFrame) -> Version:
    """Return the first version of a library: people's boxes alone, and pictures of its own."""
    human = dataset.boxes[dataset.boxes["origin"].isin([HUMAN, REVIEWED])].assign(round=0)
    images = dataset.images.assign(uri=_copy(library, dataset.images), is_hidden=False)
    return _in_order(images, human, dataset.refused, truth)


def add_items(library: Library, version: Version, items: Iterable[Item]) -> Version:
    """Return the library with some items taken in; their pictures are copied first.

    A picture that is there already keeps its place and its name. Boxes that come with it take the
    place of those that it had; without any, nothing changes.
    """
    items = list(items)
    known = by_content(version.dataset, "image_id")
    new = [item for item in items if item.facts.sha256 not in known]
    names = _names(new, set(version.dataset.images["image_id"]))
    rows = build_table([_row(library, item, names[item.path]) for item in new], IMAGE_COLUMNS)
    _keep_pictures(library, new)
    images = pd.concat([version.dataset.images, rows], ignore_index=True)
    ids = {item.path: known.get(item.facts.sha256) or names[item.path] for item in items}
    boxed = {ids[item.path]: item for item in items if item.boxes}
    images = _changed_images(images, {ids[item.path]: item for item in items})
    boxes = version.dataset.boxes
    kept = boxes[~is_in(boxes["image_id"], pd.Series([*boxed], dtype="string"))]
    added = [_box_row(name, box) for name in sorted(boxed) for box in boxed[name].boxes]
    tables = [table for table in (kept, build_table(added, BOX_COLUMNS)) if len(table)]
    merged = pd.concat(tables, ignore_index=True)
    truth = version.truth[~version.truth["image_id"].isin([*boxed])]
    return _in_order(images, merged, version.dataset.refused, truth)


def check_classes(before: Version, after: Version) -> None:
    """Check that a night leaves a training box to each class.

    Raises:
        ValueError: if it does not; the champion's weights would fit no longer.
    """
    gone = sorted({*before.dataset.class_names} - {*after.dataset.class_names})
    if gone:
        raise ValueError(
            f"the inbox's boxes leave the training images without {', '.join(map(repr, gone))}, "
            f"which the library knows: nothing was taken; mend them, or take them out of the inbox"
        )


def by_content(dataset: Dataset, column: str) -> dict[str, str]:
    """Return sha256 to a column of the images; of copies, the one that is held out most."""
    order = {name: place for place, name in enumerate(reversed(HELD_OUT), start=1)}
    rank = dataset.images["split"].map(order).fillna(0)
    images = dataset.images.assign(rank=rank).sort_values("rank", kind="stable")
    return dict(zip(images["sha256"], images[column], strict=True))


def carry_boxes(version: Version, final: Dataset) -> Dataset:
    """Return a library with what detectors and people said of its pool in an earlier run.

    Each box keeps what is known of its origin. People's boxes in the library win: where there are
    some, nothing of the earlier run is carried.

    Args:
        version: of the library.
        final: the data set that the champion's run came to. An image of it is the library's if
            name and content are the same.
    """
    dataset, columns = version.dataset, ["image_id", "sha256"]
    same = dataset.images[columns].merge(final.images[columns], on=columns)["image_id"]
    pool = dataset.candidates["image_id"]
    is_known = final.boxes["class_name"].isin(dataset.class_names)
    is_here = is_in(final.boxes["image_id"], pool) & is_in(final.boxes["image_id"], same)
    carried = final.boxes[is_known & is_here]
    refused = final.refused[final.refused["image_id"].isin(same)]
    tables = [table for table in (dataset.boxes, carried) if len(table)]
    boxes = pd.concat(tables, ignore_index=True).sort_values("image_id", kind="stable")
    return Dataset(dataset.images, boxes.reset_index(drop=True), refused.reset_index(drop=True))


def _names(items: Sequence[Item], taken: set[str]) -> dict[str, str]:
    """Return path to image_id: the path itself, unless another picture has that name."""
    names, used = {}, set(taken)
    for item in items:
        names[item.path] = next(name for name in _possible_names(item) if name not in used)
        used.add(names[item.path])
    return names


def _possible_names(item: Item) -> Iterator[str]:
    """Give names for an image without an end: its path, then with its digest, then with numbers."""
    yield item.path
    folder, slash, name = item.path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    stem, suffix = (stem, f".{suffix}") if dot else (name, "")
    stem = f"{folder}{slash}{stem}-{item.facts.sha256[:8]}"
    yield f"{stem}{suffix}"
    yield from (f"{stem}-{number}{suffix}" for number in itertools.count(2))


def _row(library: Library, item: Item, image_id: str) -> dict[str, object]:
    facts = item.facts
    split = "pool" if not item.boxes else "validation" if item.split == "validation" else "train"
    return {
        "image_id": image_id,
        "uri": library.image(facts.sha256, SUFFIXES.get(facts.format, ".webp")),
        "sha256": facts.sha256,
        "width": facts.width,
        "height": facts.height,
        "image_label": item.label,
        "split": split,
        "group": image_id,
    }


def _box_row(image_id: str, box: Sequence[object]) -> dict[str, object]:
    names = ("class_name", "xmin", "ymin", "xmax", "ymax", "difficult")
    said = {"image_id": image_id, "origin": HUMAN, "round": 0, "weight": 1.0}
    return said | dict(zip(names, box, strict=True))


def _changed_images(images: pd.DataFrame, items: Mapping[str, Item]) -> pd.DataFrame:
    """Return the images with the labels that items give, those boxed now in the training split."""
    labels = {name: item.label for name, item in items.items() if item.label is not None}
    label = images["image_id"].map(labels).astype("string")
    label = label.mask(images["split"].isin(HELD_OUT)).fillna(images["image_label"])
    is_boxed = images["image_id"].isin([name for name, item in items.items() if item.boxes])
    split = images["split"].mask(is_boxed & (images["split"] == "pool"), "train")
    return images.assign(image_label=label.astype("string"), split=split.astype("string"))


def _in_order(
    images: pd.DataFrame, boxes: pd.DataFrame, refused: pd.DataFrame, truth: pd.DataFrame
) -> Version:
    images = fill_missing(images.sort_values("image_id"), IMAGE_COLUMNS).astype(IMAGE_COLUMNS)
    boxes = boxes.astype(BOX_COLUMNS).sort_values(["image_id", "class_name", *XYXY], kind="stable")
    dataset = Dataset(images.reset_index(drop=True), boxes.reset_index(drop=True), refused)
    return Version(dataset, truth.reset_index(drop=True))


def _keep_pictures(library: Library, items: Iterable[Item]) -> None:
    """Copy the pictures of items, unless they are there.

    Raises:
        RuntimeError: if one has changed since it was read.
    """
    for item in items:
        suffix = SUFFIXES.get(item.facts.format, ".webp")
        _keep(library, item.uri, item.facts.sha256, suffix)


def _copy(library: Library, images: pd.DataFrame) -> list[str]:
    """Copy pictures into a library; return where they are."""
    uris, digests = list(images["uri"]), dict(zip(images["uri"], images["sha256"], strict=True))

    def keep(uri: str) -> str:
        suffix = "." + uri.rpartition(".")[2].lower() if "." in uri[-5:] else ""
        return _keep(library, uri, digests[uri], suffix)

    return list(storage.map_files(keep, uris, threads=storage.readers(library.uri)))


def _keep(library: Library, uri: str, sha256: str, suffix: str) -> str:
    target = library.image(sha256, suffix)
    if not storage.exists(target):
        data = storage.read_bytes(uri)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise RuntimeError(f"{uri} has changed since it was read: run this again")
        storage.write_once(target, data)
    return target
