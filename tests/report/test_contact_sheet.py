import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from boxloop.report.contact_sheet import CELL, LabelledBox, Picture, build_sheet, class_colour

GREY = (128, 128, 128)


def test_a_picture_fills_its_cell_in_one_direction_and_keeps_its_shape() -> None:
    sheet = np.asarray(build_sheet([[_picture(50, 100)]], title="", headings=["one"]))
    rows, columns = np.nonzero((sheet == GREY).all(axis=2))
    assert np.ptp(columns) + 1 == CELL
    assert np.ptp(rows) + 1 == CELL / 2


def test_a_box_is_drawn_around_its_pixels_as_a_line_or_dashes() -> None:
    line, dashes = _drawn(is_dashed=False), _drawn(is_dashed=True)
    assert np.ptp(line, axis=0).tolist() == [CELL / 2] * 2
    assert {tuple(pixel) for pixel in dashes.tolist()} <= {tuple(pixel) for pixel in line.tolist()}
    assert 0.3 < len(dashes) / len(line) < 0.7


def test_a_label_at_the_edge_is_moved_inside() -> None:
    def shown(edge: float) -> int:
        box = LabelledBox((edge, edge, edge + 1, edge + 1), "bramble", "#000000", False)
        sheet = build_sheet([[_picture(100, 100, box)]], title="", headings=["one"])
        return int((np.asarray(sheet) == 0).all(axis=2).sum())

    assert shown(98.0) > 0.8 * shown(20.0)


def test_neighbouring_classes_differ_in_colour_and_none_is_grey() -> None:
    colours = [class_colour(class_id) for class_id in range(20)]
    assert len(set(colours)) == 20
    red, green, blue = ImageColor.getrgb(colours[0])[:3]
    assert red == green == blue


def _drawn(*, is_dashed: bool) -> NDArray[np.int_]:
    """Return y and x of the pixels of a box of half the picture's sides."""
    box = LabelledBox((25.0, 25.0, 75.0, 75.0), "", "#ff0000", is_dashed)
    sheet = build_sheet([[_picture(100, 100, box)]], title="", headings=["one"])
    return np.argwhere((np.asarray(sheet) == (255, 0, 0)).all(axis=2))


def _picture(height: int, width: int, *boxes: LabelledBox) -> Picture:
    return Picture(np.full((height, width, 3), GREY, np.uint8), boxes)
