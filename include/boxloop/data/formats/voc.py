"""Pascal VOC annotations: 1-based inclusive pixels there, 0-based with exclusive max edge here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lxml import etree

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.untrusted import (
    EXACT,
    exact,
    number_text,
    parse_number,
    parse_size,
    parse_xml,
)

CORNERS = ("xmin", "ymin", "xmax", "ymax")
_OFFSETS = (1, 1, 0, 0)  # what VOC's corners are more than ours

_TRUE = ("1", "true", "True")
_ELSEWHERE = re.compile(r"[/\\]|[A-Za-z]+:|(.*[/\\])?\.\.([/\\]|$)")


def parse_voc(data: bytes, where: str) -> Annotation:
    """Return the annotation in a VOC file; an object that cannot be read costs no other.

    Args:
        data: the file's bytes. Entities are never expanded and nothing is fetched.
        where: name of the file, for messages.

    Returns:
        Boxes as the file has them, even if their corners are swapped. Findings are bad_number
        and no_name for an object, and reordered, float_coordinates, zero_based and foreign_path
        for the file.

    Raises:
        ValueError: if it is no XML or no VOC.
    """
    root = parse_xml(data, where, "annotation")
    boxes: list[Box] = []
    findings: list[Finding] = []
    orders: list[str] = []
    for number, node in enumerate(root.iterchildren("object"), start=1):
        bounds = node.find("bndbox")
        texts = {child.tag: child.text for child in bounds} if bounds is not None else {}
        found = _parse_object(node, texts, where, number)
        if isinstance(found, Finding):
            findings.append(found)
            continue
        boxes.append(found)
        if tuple(texts) != CORNERS and (order := _order(texts)) != CORNERS:
            orders.append(", ".join(order))
    if orders:
        detail = f"{len(orders)} of {len(boxes)} boxes, the first has {orders[0]}"
        findings.append(Finding("reordered", where, detail))
    if _ELSEWHERE.match(path := (root.findtext("path") or "").strip()):
        findings.append(Finding("foreign_path", where, f"<path> is {path[:200]!r}"))
    size = root.find("size")
    sizes = {child.tag: child.text for child in size} if size is not None else {}
    return Annotation(
        image=(root.findtext("filename") or "").strip(),
        boxes=tuple(boxes),
        width=parse_size(sizes.get("width")),
        height=parse_size(sizes.get("height")),
        depth=parse_size(sizes.get("depth")),
        is_inclusive=True,
        findings=(*findings, *coordinate_notes(boxes, where)),
    )


def build_voc(filename: str, width: int, height: int, boxes: Sequence[Box]) -> bytes:
    """Return a VOC file that `parse_voc` reads back exactly.

    Args:
        filename: the image's name.
        width: the image's, pixels.
        height: the image's, pixels.
        boxes: pixels, 0-based, max edge exclusive.

    Raises:
        ValueError: if a name has a character that XML cannot hold.
    """
    root = etree.Element("annotation")
    _add(root, "filename", filename)
    size = etree.SubElement(root, "size")
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        _add(size, tag, str(value))
    for box in boxes:
        node = etree.SubElement(root, "object")
        _add(node, "name", box.class_name)
        _add(node, "difficult", str(int(box.difficult)))
        bounds = etree.SubElement(node, "bndbox")
        for tag, text in voc_corners(box).items():
            _add(bounds, tag, text)
    return etree.tostring(root, encoding="utf-8", pretty_print=True)


def parse_corner(text: str | None, offset: int) -> float | None:
    """Return a number less its offset, exactly; None if it is no number."""
    if text and text.isdigit() and text.isascii() and len(text) < 10:
        return float(int(text) - offset)
    number = parse_number(text)
    # Decimal, since 0.1 - 1 + 1 is not 0.1 in floats
    return None if number is None else float(EXACT.subtract(number, offset))


def voc_corners(box: Box) -> dict[str, str]:
    """Return a box's corners as VOC writes them, from 1 and inclusive, by their names."""
    return {
        tag: number_text(EXACT.add(exact(value), offset))
        for tag, value, offset in zip(CORNERS, box.xyxy, _OFFSETS, strict=True)
    }


def coordinate_notes(boxes: Sequence[Box], where: str) -> list[Finding]:
    """Return a finding if coordinates have fractions, and one if they seem to count from 0."""
    notes = []
    fractions = sum(1 for _, a, b, c, d, _ in boxes if a % 1 or b % 1 or c % 1 or d % 1)
    if fractions:
        notes.append(Finding("float_coordinates", where, f"{fractions} of {len(boxes)} boxes"))
    zeros = sum(1 for box in boxes if box.xmin == -1 or box.ymin == -1)
    if zeros:
        detail = f"{zeros} of {len(boxes)} boxes have an xmin or ymin of 0"
        notes.append(Finding("zero_based", where, detail))
    return notes


def _parse_object(
    node: etree._Element, texts: Mapping[str, str | None], where: str, number: int
) -> Box | Finding:
    name = (node.findtext("name") or "").strip()
    if not name:
        return Finding("no_name", f"{where}: object {number}", "<name> is missing or empty")
    xmin = parse_corner(texts.get("xmin"), 1)
    ymin = parse_corner(texts.get("ymin"), 1)
    xmax = parse_corner(texts.get("xmax"), 0)
    ymax = parse_corner(texts.get("ymax"), 0)
    if xmin is None or ymin is None or xmax is None or ymax is None:
        return Finding("bad_number", f"{where}: object {number}", _bad_number(texts))
    difficult = (node.findtext("difficult") or "").strip() in _TRUE
    return Box(name, xmin, ymin, xmax, ymax, difficult)


def _bad_number(texts: Mapping[str, str | None]) -> str:
    tag = next(tag for tag in CORNERS if parse_corner(texts.get(tag), 0) is None)
    if not texts:
        return "<bndbox> is missing or empty"
    if tag not in texts:
        return f"<{tag}> is missing"
    return f"<{tag}> {(texts[tag] or '').strip()[:60]!r} is not a number"


def _order(texts: Mapping[str, str | None]) -> tuple[str, ...]:
    return tuple(tag for tag in texts if tag in CORNERS)


def _add(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = text
