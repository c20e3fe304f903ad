"""What every format's parser returns: the boxes of one image, as the file says them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from boxloop.data.findings import Finding


class Box(NamedTuple):
    """A labelled bounding box: pixels, 0-based, max edge exclusive."""

    class_name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool = False
    """Hard to see even for a person: trained on, but not asked for in an evaluation (VOC's)."""

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The corners: xmin, ymin, xmax, ymax."""
        return self[1:5]


@dataclass(frozen=True)
class Annotation:
    """What a file says of one image; nothing of it has been held against the image yet.

    Boxes may have swapped corners, no area, or lie outside of the image: data/cleaning.py sees
    to that.
    """

    image: str
    """The image as the file names it: a path, a bare name, or a name without suffix."""
    boxes: tuple[Box, ...]
    width: int | None = None
    """Pixels, as the file claims; None where it does not."""
    height: int | None = None
    depth: int | None = None
    image_label: str | None = None
    """The class that the file gives the whole image."""
    is_relative: bool = False
    """Whether boxes are shares of the image's width and height, in [0, 1], and not pixels."""
    is_inclusive: bool = False
    """Whether the file counts the pixels of both corners in, as VOC does; boxes here never do."""
    findings: tuple[Finding, ...] = ()
    """What of the file could not be read, or was read in spite of its form."""
