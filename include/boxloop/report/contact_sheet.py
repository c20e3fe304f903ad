"""Pictures with boxes in rows and columns, as one picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

CELL = 240  # pixels
_GAP = 8
_LINE = 20  # of text
_TEXT = 12
_STROKE = 2
_DASH = 6
_HUE_STEP = 0.381966  # of the golden section: however many classes, neighbours differ
_GREY = "#808080"

Edges = tuple[float, float, float, float]


class LabelledBox(NamedTuple):
    """A box as it is to be drawn."""

    xyxy: Edges
    """Pixels of the picture."""
    label: str
    colour: str
    is_dashed: bool


class Picture(NamedTuple):
    """An image and its boxes."""

    pixels: NDArray[np.uint8]
    """Shape (h, w, 3)."""
    boxes: Sequence[LabelledBox]


def class_colour(class_id: int) -> str:
    """Return the colour of a class, grey for 0."""
    if class_id == 0:
        return _GREY
    red, green, blue = colorsys.hsv_to_rgb(class_id * _HUE_STEP % 1, 0.9, 0.8)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def build_sheet(
    rows: Sequence[Sequence[Picture]], *, title: str, headings: Sequence[str]
) -> Image.Image:
    """Draw pictures in cells of one size, keeping their shape.

    Args:
        rows: at most as many pictures each as there are headings.
        title: one line above all.
        headings: one for each column.
    """
    step = CELL + _GAP
    size = (_GAP + step * len(headings), 2 * _LINE + _GAP + step * len(rows))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP / 2), title, "black", _font())
    for column, heading in enumerate(headings):
        pen.text((_GAP + step * column, _GAP / 2 + _LINE), heading, "black", _font())
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            sheet.paste(
                draw_picture(picture, CELL), (_GAP + step * column, 2 * _LINE + _GAP + step * row)
            )
    return sheet


def draw_picture(picture: Picture, side: int) -> Image.Image:
    """Draw an image and its boxes as large as fits into a square of so many pixels."""
    whole = Image.fromarray(picture.pixels)
    width, height = (max(1, round(each * side / max(whole.size))) for each in whole.size)
    shown = whole.resize((width, height))
    scale = np.tile(np.divide(shown.size, whole.size), 2)
    placed = [(box, tuple((np.array(box.xyxy) * scale).tolist())) for box in picture.boxes]
    for box, edges in placed:
        _draw_box(shown, edges, box)
    for box, edges in placed:  # names last: no edge crosses them
        _draw_label(shown, edges, box)
    return shown


def _draw_box(shown: Image.Image, edges: Edges, box: LabelledBox) -> None:
    mask = Image.new("L", shown.size)
    ImageDraw.Draw(mask).rectangle(edges, outline=255, width=_STROKE)
    if box.is_dashed:
        stripes = np.add.outer(np.arange(shown.height), np.arange(shown.width)) // _DASH % 2
        mask = Image.fromarray((np.asarray(mask) * stripes).astype(np.uint8))
    shown.paste(box.colour, mask=mask)


def _draw_label(shown: Image.Image, edges: Edges, box: LabelledBox) -> None:
    """Write the box's name inside its upper left corner, moved where it would be cut off."""
    if not box.label:
        return
    pen = ImageDraw.Draw(shown)
    width, height = pen.textlength(box.label, _font()) + 4, _TEXT + 4
    x = max(0.0, min(edges[0], shown.width - width))
    y = max(0.0, min(edges[1], shown.height - height))
    pen.rectangle((x, y, x + width, y + height), fill=box.colour)
    pen.text((x + 2, y), box.label, _ink(box.colour), _font())


def _ink(colour: str) -> str:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "black"


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT)
