"""CVAT's XML, "CVAT for images 1.1": 0-based pixels with fractions, max edge exclusive."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.draft import Draft, finish
from boxloop.data.formats.untrusted import (
    exact,
    number_text,
    parse_number,
    parse_size,
    parse_xml,
)

_CORNERS = ("xtl", "ytl", "xbr", "ybr")


def parse_cvat(data: bytes, where: str) -> list[Annotation]:
    """Return the annotations in a CVAT file; an image's tag is its image-level label.

    Args:
        data: the file's bytes. Entities are never expanded and nothing is fetched.
        where: name of the file, for messages.

    Returns:
        One for each image, in the file's order. Findings are bad_number and no_name for a box;
        not_a_box for a rotated box or another shape; bad_row for a second tag or an image without
        name.

    Raises:
        ValueError: if it is no XML, no CVAT, of a video, or no image has a name.
    """
    root = parse_xml(data, where, "annotations")
    if root.find("track") is not None:
        raise ValueError(f'{where}: is of a video; export it as "CVAT for images 1.1"')
    drafts: list[Draft] = []
    strays: list[Finding] = []
    for number, node in enumerate(root.iterchildren("image"), start=1):
        name = (node.get("name") or "").strip()
        if name:
            drafts.append(_parse_image(node, name, f"{where}: image {number}"))
        else:
            strays.append(Finding("bad_row", f"{where}: image {number}", "has no name"))
    return finish(drafts, strays)


def build_cvat(annotations: Iterable[Annotation]) -> bytes:
    """Return a CVAT file that `parse_cvat` reads back exactly, less depths.

    Raises:
        ValueError: if a name has a character that XML cannot hold.
    """
    root = etree.Element("annotations")
    etree.SubElement(root, "version").text = "1.1"
    for number, annotation in enumerate(annotations):
        image = etree.SubElement(root, "image", {"id": str(number), "name": annotation.image})
        for key, value in (("width", annotation.width), ("height", annotation.height)):
            if value is not None:
                image.set(key, str(value))
        if annotation.image_label is not None:
            etree.SubElement(image, "tag", {"label": annotation.image_label})
        for box in annotation.boxes:
            corners = (number_text(exact(value)) for value in box.xyxy)
            attributes = dict(zip(_CORNERS, corners, strict=True))
            etree.SubElement(image, "box", {"label": box.class_name, "occluded": "0", **attributes})
    return etree.tostring(root, encoding="utf-8", pretty_print=True)


def _parse_image(image: etree._Element, name: str, where: str) -> Draft:
    size = parse_size(image.get("width")), parse_size(image.get("height"))
    draft = Draft(name, width=size[0], height=size[1])
    for number, node in enumerate(image, start=1):
        place = f"{where}: object {number}"
        if node.tag == "box":
            draft.add(_parse_box(node, place))
        elif node.tag != "tag":
            detail = f"a {str(node.tag)[:40]} is not read, only boxes are"
            draft.add(Finding("not_a_box", place, detail))
        elif draft.image_label is None:
            draft.image_label = (node.get("label") or "").strip() or None
        else:
            detail = f"a second tag is not read; the first is {draft.image_label!r:.60}"
            draft.add(Finding("bad_row", place, detail))
    return draft


def _parse_box(node: etree._Element, where: str) -> Box | Finding:
    name = (node.get("label") or "").strip()
    if not name:
        return Finding("no_name", where, "its label is missing or empty")
    if parse_number(node.get("rotation", "0")) != 0:
        detail = f"is rotated by {node.get('rotation')!r:.60} degrees; draw it upright"
        return Finding("not_a_box", where, detail)
    corners = []
    for key in _CORNERS:
        number = parse_number(node.get(key))
        if number is None:
            text = node.get(key)
            problem = "is missing" if text is None else f"{text[:60]!r} is not a number"
            return Finding("bad_number", where, f"{key} {problem}")
        corners.append(float(number))
    xmin, ymin, xmax, ymax = corners
    return Box(name, xmin, ymin, xmax, ymax)
