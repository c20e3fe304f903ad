"""The user's folder: which files there are, and what its tables say of the images.

images/**            images; without this folder, images are looked for everywhere
annotations/**       boxes, in any format of data/formats; also labels/** and the top level
truth/**             optional: true boxes of pool images, for measuring only
image_labels.csv     optional: filename (below images/), image_label[, split]
groups.csv           optional: path, group (near duplicates)
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from boxloop import storage
from boxloop.data.findings import Finding
from boxloop.data.splits import SPLITS
from boxloop.experiment import DataConfig

LABELS, GROUPS = "image_labels.csv", "groups.csv"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ANNOTATION_SUFFIXES = (".xml", ".json", ".csv", ".txt", ".yaml", ".yml")
LAYOUT = "see docs/your-data.md for what it may look like"
_NOT_ANNOTATIONS = re.compile(
    r"(readme|license|licence|stats|demo|requirements)\b.*", re.IGNORECASE
)

Findings = list[Finding]


@dataclass
class Folder:
    """What the folder's names and its two tables say."""

    uri: str
    images: str
    """The folder that image_ids begin at, below `uri`: `images/`, or nothing."""
    image_ids: set[str]
    annotations: list[str]
    """Files that may hold boxes, below `uri`."""
    truth: list[str]
    labels: dict[str, str | None] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)


def read_folder(uri: str, config: DataConfig, findings: Findings) -> Folder:
    """Return what a folder says about its images; none of them is opened yet.

    Args:
        uri: a local folder or gs://bucket/prefix.
        config: where labels and annotations are.
        findings: gets what could not be used.

    Raises:
        FileNotFoundError: if there is no such folder or no image in it.
        ValueError: if a table lacks a column or is no text.
    """
    uri = uri.rstrip("/") if storage.is_remote(uri) else str(Path(uri).resolve())
    names = _list_names(uri, findings)
    if not names:
        raise FileNotFoundError(f"{uri}: there is no such folder, or it is empty; {LAYOUT}")
    folder = _sort_files(uri, names, config)
    if not folder.image_ids:
        raise FileNotFoundError(
            f"{uri}: there is nothing in images/ and no image elsewhere; {LAYOUT}"
        )
    _read_labels(folder, LABELS in names, config.label_pattern, findings)
    if GROUPS in names:
        rows = _read_csv(folder.uri, GROUPS, ("path", "group"))
        folder.groups = {row["path"].removeprefix(folder.images): row["group"] for row in rows}
    return folder


def _list_names(uri: str, findings: Findings) -> list[str]:
    """Return the files below the folder, less links to what is not below it."""
    links = storage.links_out(uri)
    reason = "a link that is not followed; copy what it leads to"
    findings += [Finding("leads_out", name, reason) for name in sorted(links)]
    names = [found[len(uri) + 1 :] for found in storage.list_files(uri)]
    return [name for name in names if name not in links]


def _sort_files(uri: str, names: list[str], config: DataConfig) -> Folder:
    """Tell images, annotations and truth apart by where they lie and how they end."""
    images = "images/" if any(name.startswith("images/") for name in names) else ""
    if images:
        image_ids = {name.removeprefix(images) for name in names if name.startswith(images)}
    else:
        image_ids = {name for name in names if name.lower().endswith(IMAGE_SUFFIXES)}
    places = (f"{config.annotations}/",) if config.annotations else ("annotations/", "labels/", "")
    annotations = [
        name
        for name in names
        if name not in (LABELS, GROUPS) and _may_annotate(name, images, places)
    ]
    return Folder(uri, images, image_ids, annotations, _below("truth/", names))


def _may_annotate(name: str, images: str, places: tuple[str, ...]) -> bool:
    """Whether a file may hold boxes: all that lies in a folder for them, else by its suffix."""
    if any(place and name.startswith(place) for place in places):
        return True
    is_elsewhere = "/" in name if images else name.startswith("truth/")
    if "" not in places or is_elsewhere or _NOT_ANNOTATIONS.fullmatch(name.rpartition("/")[2]):
        return False
    return name.lower().endswith(ANNOTATION_SUFFIXES)


def _below(place: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(place)]


def _read_labels(folder: Folder, is_there: bool, pattern: str | None, findings: Findings) -> None:
    """Take labels and splits from the table, and other labels from names of files or folders."""
    for image_id in folder.image_ids:
        folder.labels[image_id] = label_of_name(image_id, pattern)
    if not is_there:
        return
    listed: set[str] = set()
    rows = _read_csv(folder.uri, LABELS, ("filename", "image_label"))
    for line, row in enumerate(rows, start=2):
        where = f"{LABELS}: row {line}"
        try:
            image_id = _image_id(folder, row["filename"])
        except ValueError as error:
            findings.append(Finding("bad_row", where, str(error)))
            continue
        if image_id in listed:
            reason = f"{image_id} was listed before; this row is ignored"
            findings.append(Finding("bad_row", where, reason))
        elif image_id not in folder.image_ids:
            findings.append(Finding("bad_row", where, f"there is no image {image_id}"))
        else:
            _take_row(folder, image_id, row, where, findings)
        listed.add(image_id)


def label_of_name(image_id: str, pattern: str | None) -> str | None:
    """Return the image-level label that an image's path tells, or None.

    Args:
        image_id: path of the image.
        pattern: regular expression with a group named `label`, searched for in the path; None:
            the name of the image's folder.
    """
    if pattern is None:
        return image_id.rpartition("/")[0].rpartition("/")[2] or None
    found = re.search(pattern, image_id)
    return found["label"] if found else None


def _take_row(
    folder: Folder, image_id: str, row: dict[str, str], where: str, findings: Findings
) -> None:
    split = row.get("split", "").lower()
    split = "validation" if split == "val" else split
    if split and split not in SPLITS:
        reason = f"{where}: split {split!r} is none of {', '.join(SPLITS)}"
        findings.append(Finding("bad_row", f"{folder.images}{image_id}", reason))
        folder.image_ids.discard(image_id)
        return
    folder.labels[image_id] = row["image_label"] or None
    if split:
        folder.splits[image_id] = split


def _read_csv(uri: str, name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        text = storage.read_bytes(f"{uri}/{name}").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: is not UTF-8 text ({error}); save it as UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="further")
    found = [column.strip() for column in reader.fieldnames or []]
    if missing := [column for column in columns if column not in found]:
        raise ValueError(f"{name}: column {missing[0]} is missing; there are {', '.join(found)}")
    reader.fieldnames = found
    return [{key: str(value or "").strip() for key, value in row.items()} for row in reader]


def _image_id(folder: Folder, name: str) -> str:
    images = f"{folder.uri}/{folder.images}".rstrip("/")
    return storage.safe_join(images, name.removeprefix(folder.images))[len(images) + 1 :]
