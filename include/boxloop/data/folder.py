"""The user's folder: which files there are, and what its tables say of the images.

images/**            images; without this folder, images and boxes are looked for everywhere
annotations/**       boxes, in any format of data/formats; also labels/**, the top level, and
                     beside the images
truth/**             optional: true boxes of pool images, for measuring only
image_labels.csv     optional: filename (below images/), image_label[, split]
groups.csv           optional: path, group (near duplicates)
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from boxloop import storage
from boxloop.borders import has_control, leads_out
from boxloop.data.findings import Finding, Findings
from boxloop.data.matching import name_of, parent
from boxloop.data.splits import SPLITS
from boxloop.settings import DataConfig
from boxloop.terminal import printable

LABELS, GROUPS = "image_labels.csv", "groups.csv"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ANNOTATION_FOLDERS = ("annotations/", "labels/")
CLASS_LISTS = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")  # of YOLO, at the top
ANNOTATION_SUFFIXES = (".xml", ".json", ".csv", ".txt", ".yaml", ".yml")
LAYOUT = "see docs/your-data.md for what it may look like"
_NOT_ANNOTATIONS = re.compile(
    r"readme\b.*|licen[sc]e\b.*|(stats|demo)\.json|requirements\.txt", re.IGNORECASE
)
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "pool": "pool",
}
"""What folders called so say of the images in them."""
_YEAR = re.compile(r"(19|20)\d\d$")  # of COCO's train2017
_NO_CLASS = {"images", "jpegimages", "img", "imgs", "photos", "data"}
"""Folders that tell no class."""


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


def read_folder(
    uri: str, config: DataConfig, findings: Findings, *, leave_out: Collection[str] = ()
) -> Folder:
    """Return what a folder says about its images; none of them is opened yet.

    Args:
        uri: a local folder or gs://bucket/prefix.
        config: where labels and annotations are.
        findings: gets what could not be used.
        leave_out: files below the folder that are treated as if they were not there.

    Raises:
        FileNotFoundError: if there is no such folder or no image in it.
        ValueError: if a table lacks a column or is no text.
    """
    uri = storage.absolute(uri)
    names = [name for name in _list_names(uri, findings) if name not in leave_out]
    if not names:
        raise FileNotFoundError(f"{uri}: there is no such folder, or it is empty; {LAYOUT}")
    folder = _sort_files(uri, names, config, findings)
    if not folder.image_ids:
        raise FileNotFoundError(
            f"{uri}: there is nothing in images/ and no image elsewhere; {LAYOUT}"
        )
    _read_labels(folder, LABELS in names, config.label_pattern, findings)
    if GROUPS in names:
        _read_groups(folder, findings)
    return folder


def _list_names(uri: str, findings: Findings) -> list[str]:
    """Return the files below the folder, less links to what is not below it."""
    listing = storage.list_folder(uri)
    reason = "a link that is not followed; copy what it leads to"
    findings += [Finding("leads_out", _shown(name), reason) for name in sorted(listing.links_out)]
    reason = "its files may not be listed: give leave to read it"
    findings += [Finding("unread_folder", _shown(name), reason) for name in sorted(listing.locked)]
    odd = {name for name in listing.files if has_control(name) or leads_out(name)}
    reason = "its name has control characters, dots for folders, or is not UTF-8; rename it"
    findings += [Finding("bad_name", _shown(name), reason) for name in sorted(odd)]
    return [name for name in listing.files if name not in listing.links_out and name not in odd]


def _shown(name: str) -> str:
    """Return a name with bytes that are no UTF-8, and control characters, written out."""
    return printable(name.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def _sort_files(uri: str, names: list[str], config: DataConfig, findings: Findings) -> Folder:
    """Tell images, annotations and truth apart by where they lie and how they end."""
    images = "images/" if any(name.startswith("images/") for name in names) else ""
    truth = [name for name in names if name.startswith("truth/")]
    tables = [name for name in names if name.lower().endswith(ANNOTATION_SUFFIXES)]
    if images:
        image_ids = {
            n.removeprefix(images) for n in set(names) - set(tables) if n.startswith(images)
        }
    else:
        image_ids = {n for n in names if n.lower().endswith(IMAGE_SUFFIXES)} - set(truth)
    free = set(names) - set(truth) - {LABELS, GROUPS} - {images + name for name in image_ids}
    annotations = sorted(name for name in free if _may_annotate(name, images, config.annotations))
    if config.annotations and not any(_is_below(name, config.annotations) for name in names):
        raise ValueError(f"data.annotations: {uri} has no folder {config.annotations!r}")
    _note_unread(free - set(annotations), findings)
    return Folder(uri, images, image_ids, annotations, truth)


def _may_annotate(name: str, images: str, chosen: str | None) -> bool:
    """Whether a file may hold boxes: all in a folder for them, elsewhere those of such suffixes."""
    if chosen is not None:
        return _is_below(name, chosen) or name.lower() in CLASS_LISTS
    if name.lower().startswith(ANNOTATION_FOLDERS):
        return True
    is_here = not images or name.startswith(images) or "/" not in name
    is_one = name.lower().endswith(ANNOTATION_SUFFIXES)
    return is_here and is_one and not _NOT_ANNOTATIONS.fullmatch(name_of(name))


def _is_below(name: str, folder: str) -> bool:
    return name.startswith(f"{folder.rstrip('/')}/")


def _note_unread(names: Iterable[str], findings: Findings) -> None:
    """Report folders with images or annotations that lie where neither is looked for."""
    suffixes = (*ANNOTATION_SUFFIXES, *IMAGE_SUFFIXES)
    unread = Counter(parent(name) for name in names if name.lower().endswith(suffixes))
    for folder, count in sorted(unread.items()):
        if folder:
            detail = f"{count} files that may be images or hold boxes"
            findings.append(Finding("unread_folder", folder, detail))


def _read_groups(folder: Folder, findings: Findings) -> None:
    for _, image_id, row in _rows_of_images(folder, GROUPS, ("path", "group"), findings):
        folder.groups[image_id] = row["group"]


def _read_labels(folder: Folder, is_there: bool, pattern: str | None, findings: Findings) -> None:
    """Take labels and splits from the table, and what it does not say from names of folders."""
    for image_id in folder.image_ids:
        if pattern is not None:
            folder.labels[image_id] = label_by_pattern(image_id, pattern)
        if split := split_of_name(image_id):
            folder.splits[image_id] = split
    if not is_there:
        return
    listed: set[str] = set()
    for where, image_id, row in _rows_of_images(folder, LABELS, ("filename",), findings):
        if image_id in listed:
            reason = f"{image_id} was listed before; this row is ignored"
            findings.append(Finding("bad_row", where, reason))
        else:
            _take_row(folder, image_id, row, where, findings)
        listed.add(image_id)


def _rows_of_images(
    folder: Folder, table: str, columns: tuple[str, ...], findings: Findings
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give place, image_id and row of a table for each row whose first column names an image."""
    image_ids = frozenset(folder.image_ids)
    for line, row in enumerate(_read_csv(folder.uri, table, columns), start=2):
        where = f"{table}: row {line}"
        try:
            image_id = _image_id(folder, row[columns[0]])
        except ValueError as error:
            findings.append(Finding("bad_row", where, str(error)))
            continue
        if image_id in image_ids:
            yield where, image_id, row
        else:
            findings.append(Finding("bad_row", where, f"there is no image {image_id}"))


def label_by_pattern(image_id: str, pattern: str) -> str | None:
    """Return what a pattern's group `label` finds in an image's path, or None."""
    found = re.search(pattern, image_id)
    return found["label"] if found else None


def label_of_folder(image_id: str) -> str | None:
    """Return the name of an image's folder, or None where it says nothing of the image."""
    folder = name_of(parent(image_id))
    says_nothing = folder.lower() in _NO_CLASS or _split_of_part(folder)
    return None if says_nothing else folder or None


def split_of_name(image_id: str) -> str | None:
    """Return the split that the folders of an image tell, as `test/a.jpg` does, or None."""
    found = (_split_of_part(part) for part in image_id.split("/")[:-1])
    return next((split for split in found if split), None)


def _split_of_part(folder: str) -> str | None:
    return _SPLIT_FOLDERS.get(_YEAR.sub("", folder.lower()))


def _take_row(
    folder: Folder, image_id: str, row: dict[str, str], where: str, findings: Findings
) -> None:
    stated = row.get("split", "").lower()
    split = _SPLIT_FOLDERS.get(stated)
    if stated and split is None:
        reason = f"{where}: split {stated!r} is none of {', '.join(SPLITS)}"
        findings.append(Finding("bad_split", f"{folder.images}{image_id}", reason))
        folder.image_ids.discard(image_id)
        return
    if "image_label" in row:
        folder.labels[image_id] = row["image_label"] or None
    if split:
        folder.splits[image_id] = split


def _read_csv(uri: str, name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        text = storage.read_bytes(f"{uri}/{name}").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: is not UTF-8 text ({error}); save it as UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="further", strict=True)
    try:
        found = [column.strip() for column in reader.fieldnames or []]
        if missing := [column for column in columns if column not in found]:
            there = ", ".join(found)
            raise ValueError(f"{name}: column {missing[0]} is missing; there are {there}")
        reader.fieldnames = found
        return [{key: str(value or "").strip() for key, value in row.items()} for row in reader]
    except csv.Error as error:
        where = f"{name}: line {reader.line_num}"
        raise ValueError(f"{where}: {error}; is a quotation mark left open?") from error


def _image_id(folder: Folder, name: str) -> str:
    images = f"{folder.uri}/{folder.images}".rstrip("/")
    path = name.replace("\\", "/").removeprefix("./").removeprefix(folder.images)
    return storage.safe_join(images, path)[len(images) + 1 :]
