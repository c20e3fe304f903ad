"""From the user's folder to a dataset: every file proven readable, every image given its part.

Whatever cannot be used is set aside with a reason, and the rest goes on; only a folder from which
no experiment can be made is an error.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from boxloop import storage
from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, Dataset, build_table
from boxloop.data.folder import Folder, Notes, read_folder
from boxloop.data.formats.voc import Box, parse_voc
from boxloop.data.images import ImageFacts, read_facts
from boxloop.data.splits import HELD_OUT, assign_splits, cards_of, deal, name_groups
from boxloop.experiment import DataConfig

log = logging.getLogger(__name__)

READERS = 16  # threads; reading waits for disk or network

Boxes = Mapping[str, Sequence[Box]]


@dataclass(frozen=True)
class Source:
    """What was found in the user's folder.

    `truth` has the columns of boxes: true boxes of pool images, which nothing may train on.
    `set_aside` has path and reason of what could not be used.
    """

    dataset: Dataset
    truth: pd.DataFrame
    set_aside: pd.DataFrame


class _Reading(NamedTuple):
    image_id: str
    facts: ImageFacts | None
    boxes: list[Box] | None  # None: no annotation file
    truth: list[Box]
    notes: Notes


def read_source(uri: str, config: DataConfig, *, seed: int) -> Source:
    """Read a folder of images, check every file of it, and deal the images to splits.

    An image whose near duplicate is in the test split is set aside from all others, and so on
    for validation; byte-identical images are near duplicates.

    Args:
        uri: a local folder or gs://bucket/prefix, laid out as data/folder.py says.
        config: which splits to follow and how to deal the rest.
        seed: of the dealing; listing order plays no part.

    Raises:
        FileNotFoundError: if there is no such folder or nothing in its images/.
        ValueError: if no experiment can be made of it: no boxes, no pool, nothing held out.
    """
    notes: Notes = []
    folder = read_folder(uri, notes)
    with ThreadPoolExecutor(READERS) as pool:
        readings = list(pool.map(lambda name: _read(folder, name), sorted(folder.image_ids)))
    notes += [note for reading in readings for note in reading.notes]
    boxes = {r.image_id: r.boxes for r in readings if r.facts and r.boxes is not None}
    images = _assign(_table(folder, readings, boxes, config), boxes, config, seed, notes)
    source = _build(images, boxes, {r.image_id: r.truth for r in readings}, notes)
    _check_usable(source)
    log.info("Read %d images, %d set aside", len(source.dataset.images), len(source.set_aside))
    return source


def _read(folder: Folder, image_id: str) -> _Reading:
    """Read an image and its XML files; the image's bytes are gone when this returns."""
    notes: Notes = []
    uri = f"{folder.uri}/images/{image_id}"
    try:
        facts = read_facts(storage.read_bytes(uri))
        annotation = folder.annotations.get(image_id)
        boxes = _read_boxes(folder, annotation, facts, notes) if annotation else None
    except (ValueError, PermissionError) as error:
        return _Reading(image_id, None, None, [], [(f"images/{image_id}", str(error))])
    truth: list[Box] = []
    if name := folder.truth.get(image_id):
        try:
            truth = _read_boxes(folder, name, facts, notes)
        except (ValueError, PermissionError) as error:
            notes.append((name, str(error)))
    return _Reading(image_id, facts, boxes, truth, notes)


def _read_boxes(folder: Folder, name: str, facts: ImageFacts, notes: Notes) -> list[Box]:
    """Return a file's boxes, clipped to the image as it is, not as the file says it is."""
    boxes = []
    for box in parse_voc(storage.read_bytes(f"{folder.uri}/{name}"), name).boxes:
        clipped = box._replace(
            xmin=max(box.xmin, 0.0),
            ymin=max(box.ymin, 0.0),
            xmax=min(box.xmax, float(facts.width)),
            ymax=min(box.ymax, float(facts.height)),
        )
        if clipped.xmin < clipped.xmax and clipped.ymin < clipped.ymax:
            boxes.append(clipped)
        else:
            size = f"{facts.width} x {facts.height}"
            notes.append((name, f"box {tuple(box)} dropped: outside of the image, {size} pixels"))
    return boxes


def _table(
    folder: Folder, readings: Sequence[_Reading], boxes: Boxes, config: DataConfig
) -> pd.DataFrame:
    """Return the readable images, with what the dealing needs to know beside the columns."""
    facts = {r.image_id: r.facts for r in readings if r.facts}
    groups = name_groups(
        {key: folder.groups.get(key) or fact.sha256 for key, fact in facts.items()}
    )
    splits = folder.splits if config.given_splits else {}
    rows: list[dict[str, object]] = [
        {
            "image_id": image_id,
            "uri": f"{folder.uri}/images/{image_id}",
            **fact._asdict(),
            "image_label": folder.labels[image_id],
            "split": splits.get(image_id),
            "group": groups[image_id],
        }
        for image_id, fact in facts.items()
    ]
    images = build_table(rows, IMAGE_COLUMNS).rename(columns={"split": "given"})
    images["is_boxed"] = images["image_id"].isin(list(boxes))
    most_frequent = images["image_id"].map({key: _main_class(of) for key, of in boxes.items()})
    images["stratum"] = images["image_label"].fillna(most_frequent).fillna("")
    return images


def _main_class(boxes: Sequence[Box]) -> str:
    counts = Counter(box.class_name for box in boxes)
    return min(counts, key=lambda name: (-counts[name], name), default="")


def _assign(
    images: pd.DataFrame, boxes: Boxes, config: DataConfig, seed: int, notes: Notes
) -> pd.DataFrame:
    """Return the images with their splits, less those that no split can use."""
    held_out = images["given"].isin(HELD_OUT)
    unboxed = "in the {given} split without an annotation file: box it, or move it to the pool"
    images = _set_aside(images, held_out & ~images["is_boxed"], unboxed, notes)
    empty = images["image_id"].isin([key for key, found in boxes.items() if not found])
    trained = images["given"].fillna("train") == "train"
    images = _set_aside(images, empty & trained, "its annotation has no usable box", notes)
    images["split"] = assign_splits(
        images,
        seed=seed,
        test_share=config.test_share,
        validation_share=1 / (config.split_ratio + 1),
    )
    images = _part_near_duplicates(images, notes)
    if config.boxed_share < 1:
        train = images["split"] == "train"
        kept = deal(cards_of(images[train]), config.boxed_share, seed=seed, leave=0)
        images["split"] = images["split"].mask(train & ~images["image_id"].isin(kept), "pool")
    return _check_labels(images, boxes, notes)


def _part_near_duplicates(images: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    for number, split in enumerate(HELD_OUT):
        weaker = ~images["split"].isin(HELD_OUT[: number + 1])
        group = images.loc[images["split"] == split, "group"]
        reason = f"near duplicate of an image in the {split} split"
        images = _set_aside(images, weaker & images["group"].isin(group), reason, notes)
    return images


def _check_labels(images: pd.DataFrame, boxes: Boxes, notes: Notes) -> pd.DataFrame:
    known = _trained_classes(images, boxes)
    pool = images["split"] == "pool"
    unlabelled = "no image-level label: name its class in image_labels.csv or by its folder"
    images = _set_aside(images, pool & images["image_label"].isna(), unlabelled, notes)
    unknown = (images["split"] == "pool") & ~images["image_label"].isin(known)
    reason = "class {label!r} is unknown to the boxed set: box a few images of it"
    return _set_aside(images, unknown, reason, notes)


def _trained_classes(images: pd.DataFrame, boxes: Boxes) -> list[str]:
    train = images.loc[images["split"] == "train", "image_id"]
    return sorted({box.class_name for image_id in train for box in boxes[image_id]})


def _set_aside(images: pd.DataFrame, is_out: pd.Series, reason: str, notes: Notes) -> pd.DataFrame:
    columns = ["image_id", "image_label", "given"]
    for image_id, label, given in images.loc[is_out, columns].itertuples(index=False):
        notes.append((f"images/{image_id}", reason.format(label=label, given=given)))
    return images[~is_out].copy()


def _build(images: pd.DataFrame, boxes: Boxes, truth: Boxes, notes: Notes) -> Source:
    known = set(_trained_classes(images, boxes))
    used: dict[str, list[Box]] = {}
    true: dict[str, list[Box]] = {}
    for image_id, split in zip(images["image_id"], images["split"], strict=True):
        found = boxes.get(image_id, [])
        if split == "pool":
            true[image_id] = list(found or truth[image_id])
            continue
        used[image_id] = [box for box in found if box.class_name in known]
        for name in sorted({box.class_name for box in found} - known):
            reason = f"boxes of class {name!r} dropped: no training image has one, box a few"
            notes.append((f"images/{image_id}", reason))
    rows = images[list(IMAGE_COLUMNS)].reset_index(drop=True)
    set_aside = pd.DataFrame(sorted(set(notes)), columns=["path", "reason"], dtype="string")
    return Source(Dataset(rows, _box_table(used)), _box_table(true), set_aside)


def _box_table(boxes: Boxes) -> pd.DataFrame:
    own = {"origin": "human", "round": 0, "score": None, "model": None, "weight": 1.0}
    rows: list[dict[str, object]] = [
        {"image_id": image_id, **box._asdict(), **own}
        for image_id in sorted(boxes)
        for box in boxes[image_id]
    ]
    return build_table(rows, BOX_COLUMNS)


def _check_usable(source: Source) -> None:
    images = source.dataset.images
    boxed = images[images["image_id"].isin(source.dataset.boxes["image_id"])]
    splits = set(boxed["split"])
    if "train" not in splits:
        problem = "no boxed image is left to train on: draw boxes, as VOC files in annotations/"
    elif "test" not in splits:
        problem = "no boxed image is left for the test split: box more images"
    elif "validation" not in splits:
        problem = "no boxed image is left for the validation split: box more images"
    elif "pool" not in set(images["split"]):
        problem = "the candidate pool is empty: add images without boxes but with a label"
    else:
        return
    examples = [f"{row.path}: {row.reason}" for row in source.set_aside.head(3).itertuples()]
    aside = f" ({len(source.set_aside)} set aside: {'; '.join(examples)})" if examples else ""
    raise ValueError(problem + aside)
