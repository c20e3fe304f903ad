"""Pascal VOC annotations: 1-based inclusive pixels there, 0-based with exclusive max edge here."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from lxml import etree

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)


class Box(NamedTuple):
    """A labelled bounding box: pixels, 0-based, max edge exclusive."""

    class_name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float


@dataclass(frozen=True)
class Annotation:
    """What one VOC file says. Its size is as the file claims it, None where it does not."""

    filename: str
    width: int | None
    height: int | None
    boxes: tuple[Box, ...]


def parse_voc(data: bytes, where: str) -> Annotation:
    """Return the annotation in a VOC file; the order of an element's children does not matter.

    Args:
        data: the file's bytes. Entities are never expanded and nothing is fetched.
        where: name of the file, for messages.

    Raises:
        ValueError: if it is no XML, no VOC, or an object has no name or no box with an area.
    """
    root = _parse_xml(data, where)
    objects = enumerate(root.iterfind("object"), start=1)
    return Annotation(
        filename=_text(root, "filename"),
        width=_size(root, "size/width"),
        height=_size(root, "size/height"),
        boxes=tuple(_parse_object(node, f"{where}: object {number}") for number, node in objects),
    )


def build_voc(filename: str, width: int, height: int, boxes: Sequence[Box]) -> bytes:
    """Return a VOC file that `parse_voc` reads back exactly.

    Args:
        filename: the image's name.
        width: the image's, pixels.
        height: the image's, pixels.
        boxes: pixels, 0-based, max edge exclusive.
    """
    root = etree.Element("annotation")
    _add(root, "filename", filename)
    size = etree.SubElement(root, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        _add(size, tag, str(value))
    for box in boxes:
        node = etree.SubElement(root, "object")
        _add(node, "name", box.class_name)
        _add(node, "difficult", "0")
        bounds = etree.SubElement(node, "bndbox")
        for tag in ("xmin", "ymin", "xmax", "ymax"):
            _add(bounds, tag, _to_voc(tag, getattr(box, tag)))
    return etree.tostring(root, encoding="utf-8", pretty_print=True)


def _parse_xml(data: bytes, where: str) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"{where}: is not well-formed XML: {error.msg}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError(f"{where}: has a <!DOCTYPE>, which is not read; remove it")
    if root.tag != "annotation":
        raise ValueError(f"{where}: is no VOC file: expected <annotation>, found <{root.tag}>")
    return root


def _parse_object(node: etree._Element, where: str) -> Box:
    name = _text(node, "name")
    if not name:
        raise ValueError(f"{where}: <name> is empty")
    bounds = node.find("bndbox")
    if bounds is None:
        raise ValueError(f"{where}: <bndbox> is missing")
    box = Box(
        name,
        xmin=_from_voc(bounds, "xmin", where),
        ymin=_from_voc(bounds, "ymin", where),
        xmax=_from_voc(bounds, "xmax", where),
        ymax=_from_voc(bounds, "ymax", where),
    )
    if box.xmax <= box.xmin or box.ymax <= box.ymin:
        corners = ", ".join(f"<{tag}> {_text(bounds, tag)}" for tag in Box._fields[1:])
        raise ValueError(f"{where}: the box has no area: {corners}")
    return box


def _from_voc(bounds: etree._Element, tag: str, where: str) -> float:
    if bounds.find(tag) is None:
        raise ValueError(f"{where}: <{tag}> is missing")
    text = _text(bounds, tag)
    # Decimal, since 0.1 - 1 + 1 is not 0.1 in floats
    value = float(Decimal(text) - _offset(tag)) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: <{tag}> {text!r} is not a number")
    return value


def _to_voc(tag: str, value: float) -> str:
    number = Decimal(repr(float(value))) + _offset(tag)
    return str(int(number)) if number == int(number) else str(number)


def _offset(tag: str) -> int:
    return 1 if tag in ("xmin", "ymin") else 0


def _size(root: etree._Element, path: str) -> int | None:
    text = _text(root, path)
    return int(text) if text.isascii() and text.isdigit() else None


def _text(node: etree._Element, path: str) -> str:
    return (node.findtext(path) or "").strip()


def _add(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = text
