"""Boxes as tables, a row for each: the study's CSV, and the text that Kaggle users pass around."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.draft import Draft, finish
from boxloop.data.formats.untrusted import decode_text, exact, number_text, parse_size
from boxloop.data.formats.voc import (
    CORNERS,
    coordinate_notes,
    parse_corner,
    voc_corners,
)

STUDY_COLUMNS = ("filename", "width", "height", "class", *CORNERS)
KAGGLE_COLUMNS = ("path", "x1", "y1", "x2", "y2", "class")

_Row = Sequence[str] | None  # None: a line that its quotes make unreadable


class _Layout(NamedTuple):
    """Where things are in a row."""

    image: int
    box: tuple[int, ...]  # class and four corners
    size: tuple[int, ...]  # width and height, or nothing
    low_offset: int  # how much more low corners are than ours


def parse_study_csv(data: bytes, where: str) -> list[Annotation]:
    """Return the annotations in a CSV with a header, in VOC's pixels: from 1, inclusive.

    Args:
        data: the file's bytes: STUDY_COLUMNS in any order, others are ignored. A row without
            class and corners is an image without boxes.
        where: name of the file, for messages.

    Returns:
        One for each filename, in order of their first rows, which also give the sizes. Findings
        are bad_row, bad_number and no_name for a row; float_coordinates and zero_based for the
        file go with the first image.

    Raises:
        ValueError: if it is not UTF-8, lacks a column, or has rows but none that names an image.
    """

    def parse(rows: Iterator[_Row]) -> list[Annotation]:
        header = [name.strip().lower() for name in next(rows, None) or ()]
        if missing := [name for name in STUDY_COLUMNS if name not in header]:
            there = ", ".join(header)[:100] or "none"
            raise ValueError(f"{where}: column {missing[0]} is missing; there are {there!r}")
        image, width, height, name, *corners = (header.index(name) for name in STUDY_COLUMNS)
        layout = _Layout(image, (name, *corners), (width, height), low_offset=1)
        drafts, strays = _gather(enumerate(rows, start=2), layout, where)
        boxes = [box for draft in drafts for box in draft.boxes]
        return finish(drafts, [*strays, *coordinate_notes(boxes, where)])

    return _parse_rows(decode_text(data, where), parse)


def build_study_csv(annotations: Iterable[Annotation]) -> bytes:
    """Return a CSV that `parse_study_csv` reads back exactly, less depths and labels."""
    rows: list[Sequence[object]] = [STUDY_COLUMNS]
    for annotation in annotations:
        own = (annotation.image, annotation.width, annotation.height)
        rows += [(*own, box.class_name, *voc_corners(box).values()) for box in annotation.boxes]
        if not annotation.boxes:
            rows.append((*own, *[""] * 5))
    return _write(rows)


def parse_kaggle_text(data: bytes, where: str) -> list[Annotation]:
    """Return the annotations in lines of KAGGLE_COLUMNS: from 0, max edge exclusive.

    Args:
        data: the file's bytes, with a header or without. A row with a path only, as `a.jpg,,,,,`,
            is an image without boxes.
        where: name of the file, for messages.

    Returns:
        One for each path, in order of their first rows. Findings are bad_row, bad_number and
        no_name.

    Raises:
        ValueError: if it is not UTF-8, or has rows but none that names an image.
    """
    layout = _Layout(0, (5, 1, 2, 3, 4), (), low_offset=0)

    def parse(rows: Iterator[_Row]) -> list[Annotation]:
        numbered = ((n, row) for n, row in enumerate(rows, start=1) if not _is_header(row))
        return finish(*_gather(numbered, layout, where))

    return _parse_rows(decode_text(data, where), parse)


def build_kaggle_text(annotations: Iterable[Annotation]) -> bytes:
    """Return text that `parse_kaggle_text` reads back exactly, less sizes, depths and labels."""
    rows: list[Sequence[object]] = []
    for annotation in annotations:
        for box in annotation.boxes:
            corners = [number_text(exact(value)) for value in box.xyxy]
            rows.append((annotation.image, *corners, box.class_name))
        if not annotation.boxes:
            rows.append((annotation.image, *[""] * 5))
    return _write(rows)


def _parse_rows(text: str, parse: Callable[[Iterator[_Row]], list[Annotation]]) -> list[Annotation]:
    """Parse rows; where a stray quote would swallow those after it, every line is a row."""
    try:
        return parse(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return parse(map(_split, io.StringIO(text, newline=None)))


def _split(line: str) -> _Row:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def _gather(
    rows: Iterable[tuple[int, _Row]], layout: _Layout, where: str
) -> tuple[Iterable[Draft], list[Finding]]:
    """Return an annotation for each image, and findings for rows that name none."""
    drafts: dict[str, Draft] = {}
    strays: list[Finding] = []
    num_needed = max(layout.image, *layout.box, *layout.size) + 1
    pick = itemgetter(*layout.box)
    for number, row in rows:
        if row is not None and not any(row):
            continue
        if row is None or len(row) < num_needed or not (image := row[layout.image].strip()):
            detail = _unusable(row, num_needed)
            strays.append(Finding("bad_row", f"{where}: row {number}", detail))
            continue
        draft = drafts.get(image)
        if draft is None:
            size = [parse_size(row[place]) for place in layout.size] or [None, None]
            draft = drafts[image] = Draft(
                image, width=size[0], height=size[1], is_inclusive=layout.low_offset == 1
            )
        found = _parse_box(pick(row), layout.low_offset, where, number)
        if found is not None:
            draft.add(found)
    return drafts.values(), strays


def _parse_box(
    texts: Sequence[str], low_offset: int, where: str, number: int
) -> Box | Finding | None:
    """Return the box of a row, what is wrong with it, or None if the row has no box."""
    name = texts[0].strip()
    xmin = parse_corner(texts[1], low_offset)
    ymin = parse_corner(texts[2], low_offset)
    xmax = parse_corner(texts[3], 0)
    ymax = parse_corner(texts[4], 0)
    if xmin is None or ymin is None or xmax is None or ymax is None:
        if not any(text.strip() for text in texts):
            return None
        bad = next(text for text in texts[1:] if parse_corner(text, 0) is None)
        detail = f"{bad.strip()[:60]!r} is not a number"
        return Finding("bad_number", f"{where}: row {number}", detail)
    if not name:
        return Finding("no_name", f"{where}: row {number}", "its class is empty")
    return Box(name, xmin, ymin, xmax, ymax)


def _is_header(row: _Row) -> bool:
    return row is not None and tuple(text.strip().lower() for text in row) == KAGGLE_COLUMNS


def _unusable(row: _Row, num_needed: int) -> str:
    if row is None:
        return "a quote is not closed, or has text after it"
    if len(row) < num_needed:
        return f"has {len(row)} columns, it needs {num_needed}"
    return "names no image"


def _write(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
