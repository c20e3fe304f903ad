"""Holds an annotation against its image: the boxes to train on, and what was wrong with others.

In this order: shares become pixels, boxes drawn on a picture that its Exif tag rotates are turned
back to the stored pixels, swapped corners are put in order, what reaches out is clipped, and of
equal boxes one is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.images import ImageFacts

_SIDEWAYS = 5  # from this Exif orientation on, the picture is shown as wide as it is stored high
_MIRRORED_X = (2, 3, 7, 8)
_MIRRORED_Y = (3, 4, 6, 7)
_ROUNDING = 0.01  # pixels; shares of six digits put a corner on the edge that far out
_DEPTHS = {
    "1": (1,),
    "L": (1,),
    "LA": (1, 2, 4),
    "I": (1,),
    "F": (1,),
    "P": (1, 3),  # an index a pixel, or the colour it stands for
    "RGB": (3,),
    "RGBA": (3, 4),
    "CMYK": (3, 4),
}


def clean_boxes(
    annotation: Annotation, facts: ImageFacts, where: str, *, min_box: float = 1.0
) -> tuple[list[Box], list[Finding]]:
    """Return an image's usable boxes, in its stored pixels, and what was wrong.

    Where an Exif tag rotates the image, its boxes are taken to be drawn on the picture as shown,
    unless the annotation states the stored size and that is another than the shown one.

    Where a format includes both corners, a side of exactly one pixel is no area: it is made of two
    corners on the same spot, which is a slip of the mouse.

    Args:
        annotation: what a file says of the image; its numbers are finite.
        facts: the image's own.
        where: the annotation's file, for findings; a box is `{where}: object 3`, counting those
            that its parser had to drop.
        min_box: pixels; a box whose shorter side, once clipped, is below that is dropped.
    """
    findings = _size_findings(annotation, facts, where)
    boxes: Sequence[Box] = annotation.boxes
    is_turned = facts.orientation > 1 and not _saw_stored(annotation, facts)
    if annotation.is_relative:
        width, height = _shown_size(facts) if is_turned else (facts.width, facts.height)
        boxes = [_scale(box, width, height) for box in boxes]
    if facts.orientation > 1 and boxes:
        findings.append(_exif_finding(facts, where, is_turned=is_turned))
    if is_turned:
        boxes = [_turn_back(box, facts) for box in boxes]
    is_inclusive = annotation.is_inclusive and not is_turned
    kept: dict[tuple[object, ...], Box] = {}  # by class and corners, difficult or not
    triples = zip(annotation.boxes, boxes, _numbers(annotation, where), strict=False)
    for stated, box, number in triples:
        usable, kinds = _fit(box, facts.width, facts.height, min_box, is_inclusive)
        if usable is not None and usable[:5] in kept:
            kinds = [*kinds, "duplicate_box"]
        elif usable is not None:
            kept[usable[:5]] = usable
        for kind in kinds:
            findings.append(_finding(kind, f"{where}: object {number}", stated, facts))
    return list(kept.values()), findings


def _size_findings(annotation: Annotation, facts: ImageFacts, where: str) -> list[Finding]:
    findings = []
    stated = (annotation.width, annotation.height)
    if None not in stated and stated not in ((facts.width, facts.height), _shown_size(facts)):
        detail = f"{stated[0]} x {stated[1]} stated, {facts.width} x {facts.height} found"
        findings.append(Finding("size_differs", where, detail))
    fitting = _DEPTHS.get(facts.mode.partition(";")[0])
    if annotation.depth is not None and fitting and annotation.depth not in fitting:
        detail = f"depth {annotation.depth} stated, an image of mode {facts.mode} found"
        findings.append(Finding("depth_differs", where, detail))
    return findings


def _shown_size(facts: ImageFacts) -> tuple[int, int]:
    is_sideways = facts.orientation >= _SIDEWAYS
    return (facts.height, facts.width) if is_sideways else (facts.width, facts.height)


def _saw_stored(annotation: Annotation, facts: ImageFacts) -> bool:
    stored = (facts.width, facts.height)
    return (annotation.width, annotation.height) == stored != _shown_size(facts)


def _exif_finding(facts: ImageFacts, where: str, *, is_turned: bool) -> Finding:
    width, height = _shown_size(facts)
    drawn = (
        f"on the picture as shown, {width} x {height}, and turned back"
        if is_turned
        else f"on the stored pixels, {facts.width} x {facts.height} as stated"
    )
    return Finding("exif_rotation", where, f"orientation {facts.orientation}: boxes drawn {drawn}")


def _scale(box: Box, width: int, height: int) -> Box:
    return box._replace(
        xmin=box.xmin * width,
        ymin=box.ymin * height,
        xmax=box.xmax * width,
        ymax=box.ymax * height,
    )


def _turn_back(box: Box, facts: ImageFacts) -> Box:
    """Return a box of the picture shown in stored pixels; swapped corners stay swapped.

    Source: Exif 2.32 (CIPA DC-008), tag 0x0112, Orientation.
    """
    xmin, ymin, xmax, ymax = box.xyxy
    if facts.orientation >= _SIDEWAYS:
        xmin, ymin, xmax, ymax = ymin, xmin, ymax, xmax
    if facts.orientation in _MIRRORED_X:
        xmin, xmax = facts.width - xmax, facts.width - xmin
    if facts.orientation in _MIRRORED_Y:
        ymin, ymax = facts.height - ymax, facts.height - ymin
    return box._replace(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)


def _numbers(annotation: Annotation, where: str) -> Iterator[int]:
    """Return the numbers that boxes have in their file, less those that its parser had to drop."""
    lost = {finding.path for finding in annotation.findings}
    if not lost:
        return itertools.count(1)
    return (number for number in itertools.count(1) if f"{where}: object {number}" not in lost)


def _fit(
    box: Box, width: int, height: int, min_box: float, is_inclusive: bool
) -> tuple[Box | None, list[str]]:
    """Return what of a box is usable, if anything, and the kinds of what was wrong with it."""
    pixel = 1 if is_inclusive else 0
    xmin, ymin, xmax, ymax = box.xyxy
    is_inside = xmin >= 0 and ymin >= 0 and xmax <= width and ymax <= height
    shorter = min(xmax - xmin, ymax - ymin)
    if is_inside and shorter > 1 and shorter >= min_box:
        return box, []
    num_swapped = (xmin > xmax) + (ymin > ymax)
    if num_swapped == 1:
        return None, ["swapped_one"]
    kinds = []
    if num_swapped == 2:
        kinds.append("swapped_both")
        box = box._replace(
            xmin=xmax - pixel, ymin=ymax - pixel, xmax=xmin + pixel, ymax=ymin + pixel
        )
    if any(side in (0, pixel) for side in (box.xmax - box.xmin, box.ymax - box.ymin)):
        return None, ["zero_area"]
    clipped = _clip(box, width, height)
    shorter = min(clipped.xmax - clipped.xmin, clipped.ymax - clipped.ymin)
    if shorter <= 0:
        return None, ["empty_after_clip"]
    if shorter < min_box:
        return None, ["tiny_box"]
    if max(abs(a - b) for a, b in zip(box.xyxy, clipped.xyxy, strict=True)) > _ROUNDING:
        kinds.append("outside")
    return clipped, kinds


def _clip(box: Box, width: int, height: int) -> Box:
    return box._replace(
        xmin=max(box.xmin, 0.0),
        ymin=max(box.ymin, 0.0),
        xmax=min(box.xmax, float(width)),
        ymax=min(box.ymax, float(height)),
    )


def _finding(kind: str, path: str, box: Box, facts: ImageFacts) -> Finding:
    at = ", ".join(f"{corner:g}" for corner in box.xyxy)
    return Finding(kind, path, f"{box.class_name!r} at {at} of {facts.width} x {facts.height}")
