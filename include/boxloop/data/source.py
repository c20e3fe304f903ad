"""From the user's folder to a dataset: every image given its part in the experiment.

Whatever cannot be used is set aside with a reason, and the rest goes on; only a folder from which
no experiment can be made is an error.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from boxloop import storage
from boxloop.data.dataset import (
    BOX_COLUMNS,
    HUMAN,
    IMAGE_COLUMNS,
    Dataset,
    build_table,
    fill_missing,
    from_parquet,
    is_in,
    read_dataset,
)
from boxloop.data.findings import DROPPED, KINDS, SET_ASIDE, Finding, Findings
from boxloop.data.formats.annotation import Box
from boxloop.data.near_duplicates import group_near_duplicates
from boxloop.data.splits import HELD_OUT, assign_splits, deal, name_groups
from boxloop.data.survey import Boxes, Survey, survey_folder
from boxloop.settings import DataConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """What was found in the user's folder."""

    dataset: Dataset
    truth: pd.DataFrame
    """True boxes of pool images, with the columns of boxes; nothing may train on them."""
    findings: tuple[Finding, ...]

    @property
    def set_aside(self) -> pd.DataFrame:
        """Path and reason of what could not be used."""
        rows = {(f.path, f.detail) for f in self.findings if _costs_data(f)}
        return pd.DataFrame(sorted(rows), columns=["path", "reason"], dtype="string")


def read_source(
    uri: str,
    config: DataConfig,
    *,
    seed: int,
    hidden_share: float = 0.0,
    needs_labels: bool = True,
) -> Source:
    """Read a folder of images, check every file of it, and deal the images to splits.

    An image whose near duplicate is in the test split is set aside from all others, and so on
    for validation; byte-identical images are near duplicates.

    Args:
        uri: a local folder or gs://bucket/prefix, laid out as data/folder.py says.
        config: which splits to follow and how to deal the rest.
        seed: of the dealing; listing order plays no part.
        hidden_share: of the boxed training images, that play the pool.
        needs_labels: set aside pool images without a label; people need none.

    Raises:
        FileNotFoundError: if there is no such folder or no image in it.
        ValueError: if no experiment can be made of it: no boxes, no pool, nothing held out.
    """
    survey = survey_folder(uri, config, [])
    source = deal_parts(
        survey, config, seed=seed, hidden_share=hidden_share, needs_labels=needs_labels
    )
    if problem := problem_of(source) or _pool_problem(source):
        raise ValueError(problem + _examples(source.set_aside))
    log.info("Read %d images, %d set aside", len(source.dataset.images), len(source.set_aside))
    return source


def read_version(uri: str, *, hidden_share: float = 0.0) -> Source:
    """Read a dataset version that a run begins with as it is, and what is known of its pool.

    Args:
        uri: its folder; truth.parquet in it, if there is one, has the true boxes of pool images.
        hidden_share: must be 0, since nothing is dealt any more.

    Raises:
        FileNotFoundError: if there is no such version.
        ValueError: if boxes are to be hidden, or no experiment can be made of it.
    """
    if hidden_share > 0:
        raise ValueError("oracle.hidden_share does not go with data.version: set it to 0")
    truth = build_table([], BOX_COLUMNS)
    if storage.exists(f"{uri}/truth.parquet"):
        truth = from_parquet(storage.read_bytes(f"{uri}/truth.parquet"))
    source = Source(read_dataset(uri), truth, ())
    if problem := problem_of(source) or _pool_problem(source):
        raise ValueError(f"{uri}: {problem}")
    return source


def deal_parts(
    survey: Survey,
    config: DataConfig,
    *,
    seed: int,
    hidden_share: float = 0.0,
    needs_labels: bool = True,
) -> Source:
    """Return the surveyed images with their splits and boxes, less those that no split can use."""
    findings = list(survey.findings)
    images = _assign(_table(survey, config), survey, config, seed, findings)
    images = _check_labels(images, survey, findings, needs_labels=needs_labels)
    images = _hide(images, hidden_share, seed, survey.boxes)
    source = _build(images, survey, findings)
    if problem := _pool_problem(source):
        return replace(source, findings=(*source.findings, Finding("no_pool", "images", problem)))
    return source


def problem_of(source: Source) -> str | None:
    """Return why no detector can be trained on this, and what to do; None if one can."""
    images = source.dataset.images
    boxed = images[is_in(images["image_id"], source.dataset.boxes["image_id"])]
    splits = set(boxed["split"])
    if "train" not in splits:
        return "no boxed image is left to train on: draw boxes, as VOC files in annotations/"
    if "test" not in splits:
        return "no boxed image is left for the test split: box more images"
    if "validation" not in splits:
        return "no boxed image is left for the validation split: box more images"
    return None


def _pool_problem(source: Source) -> str | None:
    if "pool" in set(source.dataset.images["split"]):
        return None
    return "the candidate pool is empty: add images without boxes but with a label"


def _table(survey: Survey, config: DataConfig) -> pd.DataFrame:
    """Return the readable images, with what the dealing needs to know beside the columns."""
    folder, facts, boxes = survey.folder, survey.facts, survey.boxes
    images = pd.DataFrame({"image_id": pd.Series(list(facts), dtype="string")})
    images["uri"] = f"{folder.uri}/{folder.images}" + images["image_id"]
    for name in ("sha256", "width", "height"):
        images[name] = [getattr(fact, name) for fact in facts.values()]
    images["image_label"] = list(survey.labels.values())
    images["group"] = images["image_id"].map(_groups(survey))
    kinds = {name: kind for name, kind in IMAGE_COLUMNS.items() if name in images}
    images = images.astype(kinds)
    given = folder.splits if config.given_splits else {}
    images["given"] = images["image_id"].map(given).astype("string")
    images["is_boxed"] = images["image_id"].isin(list(boxes))
    rarest = images["image_id"].map(_rarest_classes(boxes)).astype("string")
    images["stratum"] = rarest.fillna(images["image_label"]).fillna("")
    return images


def _groups(survey: Survey) -> dict[str, str]:
    """Return each image's group: those alike by groups.csv, by looks, or byte for byte."""
    # a hash of 0 is that of a plain picture, which tells nothing
    hashes = {name: fact.dhash for name, fact in survey.facts.items() if fact.dhash}
    given = {
        name: key for name, key in survey.folder.groups.items() if name in survey.facts and key
    }
    digests = {name: fact.sha256 for name, fact in survey.facts.items()}
    return name_groups(digests, group_near_duplicates(hashes), given)


def _rarest_classes(boxes: Boxes) -> dict[str, str]:
    """Return of every boxed image the class that fewest images have: what a split may lack."""
    classes = {image_id: {box.class_name for box in found} for image_id, found in boxes.items()}
    counts = Counter(name for names in classes.values() for name in names)
    return {
        image_id: min(names, key=lambda name: (counts[name], name))
        for image_id, names in classes.items()
    }


def _assign(
    images: pd.DataFrame, survey: Survey, config: DataConfig, seed: int, findings: Findings
) -> pd.DataFrame:
    """Return the images with their splits, less those that no split can use."""
    place = survey.folder.images
    images["split"] = assign_splits(
        images,
        seed=seed,
        test_share=config.test_share,
        validation_share=1 / (config.split_ratio + 1),
        previous=_previous_splits(config.previous),
    )
    unboxed = images["split"].isin(HELD_OUT) & ~images["is_boxed"]
    reason = "in the {split} split without a usable box: box it, or move it to the pool"
    images = _set_aside(images, unboxed, "not_boxed", reason, place, findings)
    images = _part_near_duplicates(images, place, findings)
    if config.boxed_share < 1:
        train = images[images["split"] == "train"]
        keeps = deal(train, config.boxed_share, seed=seed, name="boxed", leave=0)
        is_pool = is_in(images["image_id"], train.loc[~keeps, "image_id"])
        images["split"] = images["split"].mask(is_pool, "pool")
        images = _label_by_boxes(images, is_pool)
    return images


def _hide(images: pd.DataFrame, share: float, seed: int, boxes: Boxes) -> pd.DataFrame:
    """Put boxed training images into the pool, their boxes hidden; no class loses all of them.

    An image without a label is labelled by the rarest class among its boxes.
    """
    images["is_hidden"] = False
    train = images[images["split"] == "train"]
    if share > 0 and len(train):
        is_hidden = deal(train, share, seed=seed, name="hidden", leave=1)
        left = _trained_classes(train[~is_hidden], boxes)
        shown = train["image_id"].map(lambda name: {box.class_name for box in boxes[name]})
        is_hidden &= shown.map(set(left).issuperset).astype(bool)
        images["is_hidden"] = is_hidden.reindex(images.index, fill_value=False)
        images["split"] = images["split"].mask(images["is_hidden"], "pool")
        images = _label_by_boxes(images, images["is_hidden"])
    return images


def _label_by_boxes(images: pd.DataFrame, is_chosen: pd.Series) -> pd.DataFrame:
    """Label the chosen images that have no label by the rarest class among their boxes."""
    label = images["image_label"].fillna(images["stratum"].where(is_chosen)).astype("string")
    return images.assign(image_label=label)


def _previous_splits(folder_uri: str | None) -> dict[str, str]:
    if folder_uri is None:
        return {}
    images = from_parquet(storage.read_bytes(f"{folder_uri}/images.parquet"))
    return dict(zip(images["image_id"], images["split"], strict=True))


def _part_near_duplicates(images: pd.DataFrame, place: str, findings: Findings) -> pd.DataFrame:
    for number, split in enumerate(HELD_OUT):
        weaker = ~images["split"].isin(HELD_OUT[: number + 1])
        group = images.loc[images["split"] == split, "group"]
        reason = f"near duplicate of an image in the {split} split"
        is_out = weaker & images["group"].isin(group)
        images = _set_aside(images, is_out, "near_duplicate", reason, place, findings)
    return images


def _check_labels(
    images: pd.DataFrame, survey: Survey, findings: Findings, *, needs_labels: bool
) -> pd.DataFrame:
    known, place = _trained_classes(images, survey.boxes), survey.folder.images
    is_pool, has_label = images["split"] == "pool", images["image_label"].notna()
    unknown = is_pool & has_label & ~images["image_label"].isin(known)
    if needs_labels:
        reason = "no image-level label: name its class in image_labels.csv or by its folder"
        images = _set_aside(images, is_pool & ~has_label, "no_label", reason, place, findings)
    reason = "class {label!r} is unknown to the boxed set: box a few images of it"
    is_unknown = unknown.reindex(images.index)
    return _set_aside(images, is_unknown, "unknown_label", reason, place, findings)


def _trained_classes(images: pd.DataFrame, boxes: Boxes) -> list[str]:
    train = images.loc[images["split"] == "train", "image_id"]
    return sorted({box.class_name for image_id in train for box in boxes[image_id]})


def _set_aside(
    images: pd.DataFrame, is_out: pd.Series, kind: str, reason: str, place: str, findings: Findings
) -> pd.DataFrame:
    columns = ["image_id", "image_label", "split"]
    for image_id, label, split in images.loc[is_out, columns].itertuples(index=False):
        detail = reason.format(label=label, split=split)
        findings.append(Finding(kind, f"{place}{image_id}", detail))
    return images[~is_out].copy()


def _build(images: pd.DataFrame, survey: Survey, findings: Findings) -> Source:
    known = set(_trained_classes(images, survey.boxes))
    used: dict[str, Sequence[Box]] = {}
    true: dict[str, Sequence[Box]] = {}
    for image_id, split in zip(images["image_id"], images["split"], strict=True):
        found = survey.boxes.get(image_id, [])
        if split == "pool":
            true[image_id] = found or survey.truth[image_id]
            continue
        used[image_id] = [box for box in found if box.class_name in known]
        for name in sorted({box.class_name for box in found} - known):
            reason = f"boxes of class {name!r} dropped: no training image has one, box a few"
            findings.append(Finding("unknown_class", f"{survey.folder.images}{image_id}", reason))
    rows = images[list(IMAGE_COLUMNS)].astype(IMAGE_COLUMNS).reset_index(drop=True)
    in_order = tuple(sorted(findings, key=lambda found: (found.path, found.kind, found.detail)))
    return Source(Dataset(rows, _box_table(used)), _box_table(true), in_order)


def _box_table(boxes: Boxes) -> pd.DataFrame:
    """Return human boxes as a table, by columns: a million rows as dicts would take a minute."""
    rows: Iterable[tuple[object, ...]] = (
        (image_id, *box) for image_id in sorted(boxes) for box in boxes[image_id]
    )
    table = pd.DataFrame(rows, columns=["image_id", *Box._fields])
    table = table.assign(origin=HUMAN, round=0, score=None, model=None, weight=1.0)
    return fill_missing(table, BOX_COLUMNS)[list(BOX_COLUMNS)].astype(BOX_COLUMNS)


def _costs_data(finding: Finding) -> bool:
    return KINDS[finding.kind].gravity in (DROPPED, SET_ASIDE)


def _examples(set_aside: pd.DataFrame) -> str:
    if set_aside.empty:
        return ""
    examples = [f"{row.path!r}: {row.reason}" for row in set_aside.head(3).itertuples()]
    return f" ({len(set_aside)} set aside: {'; '.join(examples)})"
