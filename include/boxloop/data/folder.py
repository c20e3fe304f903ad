"""The user's folder: which files there are, and which belong together.

images/**            JPEG or PNG
annotations/**.xml   VOC boxes, named like the image: images/a/b.jpg has annotations/a/b.xml,
                     or annotations/b.xml where only one image is called b
truth/**.xml         optional: true boxes of pool images, for measuring only
image_labels.csv     optional: filename (below images/), image_label[, split]
groups.csv           optional: path, group (near duplicates)
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from boxloop import storage
from boxloop.data.splits import SPLITS

LABELS, GROUPS = "image_labels.csv", "groups.csv"
LAYOUT = "it needs images/, annotations/ and, unless folders name the classes, image_labels.csv"

Notes = list[tuple[str, str]]
"""Input that could not be used: path below the folder, reason."""


@dataclass
class Folder:
    """What the folder's names and its two tables say; all but `uri` by image_id."""

    uri: str
    image_ids: set[str]
    annotations: dict[str, str] = field(default_factory=dict)  # path below the folder
    truth: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str | None] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)


def read_folder(uri: str, notes: Notes) -> Folder:
    """Return what a folder says about its images; none of them is opened yet.

    Args:
        uri: a local folder or gs://bucket/prefix.
        notes: gets what could not be used.

    Raises:
        FileNotFoundError: if there is no such folder or nothing in its images/.
        ValueError: if a table lacks a column or is no text.
    """
    uri = uri.rstrip("/") if storage.is_remote(uri) else str(Path(uri).resolve())
    names = [found[len(uri) + 1 :] for found in storage.list_files(uri)]
    if not names:
        raise FileNotFoundError(f"{uri}: there is no such folder, or it is empty; {LAYOUT}")
    image_ids = {name.removeprefix("images/") for name in names if name.startswith("images/")}
    if not image_ids:
        raise FileNotFoundError(f"{uri}: there is nothing in images/; {LAYOUT}")
    folder = Folder(uri, image_ids)
    _read_labels(folder, LABELS in names, notes)
    if GROUPS in names:
        rows = _read_csv(folder.uri, GROUPS, ("path", "group"))
        folder.groups = {row["path"].removeprefix("images/"): row["group"] for row in rows}
    for kind, pairs in (("annotations", folder.annotations), ("truth", folder.truth)):
        xml = [name for name in names if name.startswith(f"{kind}/")]
        pairs.update(_pair(folder, xml, notes))
    return folder


def _read_labels(folder: Folder, is_there: bool, notes: Notes) -> None:
    """Take labels and splits from the table, and labels of other images from their folders."""
    for image_id in folder.image_ids:
        parents = image_id.split("/")[:-1]
        folder.labels[image_id] = parents[-1] if parents else None
    if not is_there:
        return
    listed: set[str] = set()
    rows = _read_csv(folder.uri, LABELS, ("filename", "image_label"))
    for line, row in enumerate(rows, start=2):
        try:
            image_id = _image_id(folder, row["filename"])
        except ValueError as error:
            notes.append((LABELS, f"row {line}: {error}"))
            continue
        if image_id in listed:
            notes.append((LABELS, f"row {line}: {image_id} was listed before; this row is ignored"))
        elif image_id not in folder.image_ids:
            notes.append((f"images/{image_id}", f"{LABELS} lists it in row {line}: no such file"))
        else:
            _take_row(folder, image_id, row, f"{LABELS}: row {line}", notes)
        listed.add(image_id)


def _take_row(folder: Folder, image_id: str, row: dict[str, str], where: str, notes: Notes) -> None:
    split = row.get("split", "").lower()
    split = "validation" if split == "val" else split
    if split and split not in SPLITS:
        reason = f"{where}: split {split!r} is none of {', '.join(SPLITS)}"
        notes.append((f"images/{image_id}", reason))
        folder.image_ids.discard(image_id)
        return
    folder.labels[image_id] = row["image_label"] or None
    if split:
        folder.splits[image_id] = split


def _pair(folder: Folder, names: Iterable[str], notes: Notes) -> dict[str, str]:
    """Return image_id -> XML file; images that one file fits alike are taken out."""
    by_path, by_name = _owners(folder.image_ids)
    pairs: dict[str, str] = {}
    stems = {name: name.partition("/")[2].rpartition(".")[0] for name in names}
    # annotations/a/b.xml fits images/a/b.jpg better than annotations/b.xml does
    for name in sorted(stems, key=lambda name: (stems[name] not in by_path, name)):
        found = by_path.get(stems[name]) or by_name.get(PurePosixPath(name).stem) or []
        free = [image_id for image_id in found if image_id not in pairs]
        if not name.lower().endswith(".xml") or not found:
            notes.append((name, "no image in images/ goes with this file"))
        elif not free:
            notes.append((name, f"images/{found[0]} goes with {pairs[found[0]]} already"))
        elif len(free) == 1:
            pairs[free[0]] = name
        else:
            reason = f"{' and '.join(free)} share {name}; give each image a name of its own"
            notes += [(f"images/{image_id}", reason) for image_id in free]
            folder.image_ids.difference_update(free)
    return pairs


def _owners(image_ids: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the images by path without suffix, and by name alone."""
    by_path: dict[str, list[str]] = defaultdict(list)
    by_name: dict[str, list[str]] = defaultdict(list)
    for image_id in sorted(image_ids):
        by_path[str(PurePosixPath(image_id).with_suffix(""))].append(image_id)
        by_name[PurePosixPath(image_id).stem].append(image_id)
    return by_path, by_name


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
    images = f"{folder.uri}/images"
    return storage.safe_join(images, name.removeprefix("images/"))[len(images) + 1 :]
