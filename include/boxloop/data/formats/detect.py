"""Which annotation format a file is in, told by its content, and the parser for it.

No library does this: those that read several formats fail a whole file for one bad object, or
open the files that it names. Here an object costs itself only, and nothing but bytes is read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath

from boxloop.data.formats.annotation import Annotation
from boxloop.data.formats.coco import parse_coco
from boxloop.data.formats.cvat import parse_cvat
from boxloop.data.formats.label_studio import parse_label_studio
from boxloop.data.formats.tables import STUDY_COLUMNS, parse_kaggle_text, parse_study_csv
from boxloop.data.formats.untrusted import parse_number
from boxloop.data.formats.voc import parse_voc
from boxloop.data.formats.yolo import parse_classes_txt, parse_data_yaml, parse_yolo


class Format(StrEnum):
    """A format of annotation files, or of the tables beside them."""

    VOC = "voc"
    CVAT = "cvat"
    STUDY_CSV = "study_csv"
    KAGGLE_TEXT = "kaggle_text"
    COCO = "coco"
    LABEL_STUDIO = "label_studio"
    YOLO = "yolo"
    CLASS_NAMES = "class_names"
    """The names of YOLO's classes: data.yaml or classes.txt."""
    LABELS = "labels"
    """A CSV of filename and image_label; it has no boxes."""


_PARSERS: Mapping[str, Callable[[bytes, str], list[Annotation]]] = {
    Format.VOC: lambda data, where: [parse_voc(data, where)],
    Format.CVAT: parse_cvat,
    Format.STUDY_CSV: parse_study_csv,
    Format.KAGGLE_TEXT: parse_kaggle_text,
    Format.COCO: parse_coco,
    Format.LABEL_STUDIO: parse_label_studio,
}
_HEAD = 4096  # bytes looked at
_LINES = 20  # lines looked at
_YAML = (".yaml", ".yml")
_CLASS_LISTS = ("classes", "class_names", "labels", "names", "predefined_classes")
_PROLOG = (("<?", "?>"), ("<!--", "-->"), ("<!", ">"))
_ROOT = re.compile(r"<([\w:.-]+)")
_COCO = re.compile(r'"(info|licenses|images|annotations|categories)"\s*:')
_TASKS = re.compile(r'\[\s*\{\s*"')
_NAMES = re.compile(r"^[\"']?names[\"']?\s*:", re.MULTILINE)


def detect_format(name: str, head: bytes) -> Format | None:
    """Return the format of a file, or None if it is none of them.

    An XML file without a readable root passes for VOC, whose parser says what is wrong with it; a
    .txt file without a line passes for YOLO's, which means an image without boxes.

    Args:
        name: the file's; its suffix decides where the content alone does not.
        head: the first 4 KB of the file, or all of it.
    """
    if head.startswith(b"<annotation>"):  # nearly all files of large sets
        return Format.VOC
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    text = _decode(head[:_HEAD])
    if suffix == ".xml" or text.startswith("<"):
        return _detect_xml(text, is_xml=suffix == ".xml")
    if "\0" in text:
        return None
    if text.startswith(("{", "[")) and suffix not in _YAML:
        return _detect_json(text)
    if suffix in _YAML:
        return Format.CLASS_NAMES if _NAMES.search(text) else None
    lines = _lines(text, is_cut=len(head) >= _HEAD)
    if suffix in (".csv", ".txt") and (found := _detect_table(lines)):
        return found
    if suffix == ".names" or (suffix == ".txt" and path.stem.lower() in _CLASS_LISTS):
        return Format.CLASS_NAMES
    return Format.YOLO if suffix == ".txt" and not lines else None


def parse_file(kind: str, data: bytes, where: str, class_names: Sequence[str]) -> list[Annotation]:
    """Return the annotations in a file.

    Args:
        kind: its format, as `detect_format` gives it.
        data: the file's bytes.
        where: name of the file, for messages and, in YOLO's format, for the image.
        class_names: of YOLO's classes, by their numbers from 0; not used for other formats.

    Raises:
        ValueError: if the file cannot be read, or its format holds no boxes.
    """
    if kind == Format.YOLO:
        return [parse_yolo(data, where, class_names)]
    if kind not in _PARSERS:
        raise ValueError(f"{where}: a file of format {kind} holds no boxes; take it away")
    return _PARSERS[kind](data, where)


def parse_class_names(data: bytes, where: str) -> list[str]:
    """Return the names of YOLO's classes in a data.yaml or a classes.txt.

    Raises:
        ValueError: if the file cannot be read, or a class has no name.
    """
    is_yaml = PurePosixPath(where).suffix.lower() in _YAML
    return parse_data_yaml(data, where) if is_yaml else parse_classes_txt(data, where)


def _decode(head: bytes) -> str:
    """Return the text, with what is no text replaced, and no space before it."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return head.decode(encoding, errors="replace").lstrip()


def _detect_xml(text: str, *, is_xml: bool) -> Format | None:
    while before := next((pair for pair in _PROLOG if text.startswith(pair[0])), None):
        text = text.partition(before[1])[2].lstrip()
    root = _ROOT.match(text)
    if root is None:
        return Format.VOC if is_xml else None
    return {"annotation": Format.VOC, "annotations": Format.CVAT}.get(root[1])


def _detect_json(text: str) -> Format | None:
    if text.startswith("{") and _COCO.search(text):
        return Format.COCO
    is_tasks = _TASKS.match(text) and ('"annotations"' in text or '"data"' in text)
    return Format.LABEL_STUDIO if is_tasks else None


def _detect_table(lines: Sequence[str]) -> Format | None:
    """Tell tables apart by their header, or else by what most lines look like."""
    header = {name.strip(' "').lower() for name in lines[0].split(",")} if lines else set()
    if header.issuperset(STUDY_COLUMNS):
        return Format.STUDY_CSV
    if header.issuperset(("filename", "image_label")):
        return Format.LABELS
    if 2 * sum(map(_is_kaggle, lines)) > len(lines):
        return Format.KAGGLE_TEXT
    return Format.YOLO if 2 * sum(map(_is_yolo, lines)) > len(lines) else None


def _is_kaggle(line: str) -> bool:
    path, *texts = next(csv.reader([line]), [""])
    if len(texts) != 5 or not path:
        return False
    return not any(texts) or all(parse_number(text) is not None for text in texts[:4])


def _is_yolo(line: str) -> bool:
    fields = line.split()
    return len(fields) >= 5 and all(parse_number(field) is not None for field in fields)


def _lines(text: str, *, is_cut: bool) -> list[str]:
    """Return the first lines that are not blank; the last one only where it is whole."""
    lines = text.splitlines()
    whole = lines[:-1] if is_cut and len(lines) > 1 else lines
    return [line for line in whole if line.strip()][:_LINES]
