import pytest

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.cvat import build_cvat, parse_cvat

BOX = Box("cat", 10, 20.5, 30, 40)
GOOD = (
    '<box label="cat" source="manual" occluded="0" xtl="10.00" ytl="20.50" xbr="30.00" ybr="40"/>'
)
IMAGE = '<image id="0" name="photos/a.jpg" width="640" height="480">{}</image>'


def cvat(body: str) -> list[Annotation]:
    text = f"<annotations><version>1.1</version><meta><task/></meta>{body}</annotations>"
    return parse_cvat(text.encode(), "a.xml")


def test_boxes_and_the_tag_of_each_image_are_read() -> None:
    empty = '<image id="1" name="b.jpg"/>'
    assert cvat(IMAGE.format(f'<tag label="pet"/>{GOOD}') + empty) == [
        Annotation("photos/a.jpg", (BOX,), 640, 480, image_label="pet"),
        Annotation("b.jpg", ()),
    ]


def test_file_is_written_for_cvat() -> None:
    text = build_cvat([Annotation("a.jpg", (BOX,), 640, 480, image_label="pet")]).decode()
    assert [line.strip() for line in text.splitlines()] == [
        "<annotations>",
        "<version>1.1</version>",
        '<image id="0" name="a.jpg" width="640" height="480">',
        '<tag label="pet"/>',
        '<box label="cat" occluded="0" xtl="10" ytl="20.5" xbr="30" ybr="40"/>',
        "</image>",
        "</annotations>",
    ]


@pytest.mark.parametrize(
    ("shape", "kind", "detail"),
    [
        pytest.param(
            GOOD.replace("10.00", "left"), "bad_number", "xtl 'left' is not a number", id="word"
        ),
        pytest.param(
            GOOD.replace("xtl=", "x1="), "bad_number", "xtl is missing", id="no coordinate"
        ),
        pytest.param(
            GOOD.replace("cat", " "), "no_name", "its label is missing or empty", id="no label"
        ),
        pytest.param(
            GOOD.replace("/>", ' rotation="30.0"/>'),
            "not_a_box",
            "is rotated by '30.0' degrees; draw it upright",
            id="rotated",
        ),
        pytest.param(
            '<polygon label="cat" points="1,1;2,2;3,1"/>',
            "not_a_box",
            "a polygon is not read, only boxes are",
            id="polygon",
        ),
    ],
)
def test_shape_that_cannot_be_read_costs_no_other(shape: str, kind: str, detail: str) -> None:
    (annotation,) = cvat(IMAGE.format(GOOD + shape + GOOD))
    assert annotation.boxes == (BOX, BOX)
    assert annotation.findings == (Finding(kind, "a.xml: image 1: object 2", detail),)


def test_first_tag_is_the_label() -> None:
    (annotation,) = cvat(IMAGE.format('<tag label="pet"/><tag label="toy"/>'))
    assert annotation.image_label == "pet"
    detail = "a second tag is not read; the first is 'pet'"
    assert annotation.findings == (Finding("bad_row", "a.xml: image 1: object 2", detail),)


def test_image_without_a_name_costs_no_other() -> None:
    (annotation,) = cvat("<image/>" + IMAGE.format(GOOD))
    assert annotation.boxes == (BOX,)
    assert annotation.findings == (Finding("bad_row", "a.xml: image 1", "has no name"),)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param("<image/>", "a.xml: image 1: has no name", id="no name"),
        pytest.param(
            '<track label="cat"/>', 'is of a video; export it as "CVAT for images', id="video"
        ),
    ],
)
def test_what_names_no_image_is_refused(body: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cvat(body)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"<annotation/>", "expected <annotations>, found <annotation>", id="VOC"),
        pytest.param(b"<!DOCTYPE a><annotations/>", "has a <!DOCTYPE>", id="document type"),
        pytest.param(b"<annotations>", "a.xml: is not well-formed XML", id="cut short"),
    ],
)
def test_what_is_no_cvat_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_cvat(data, "a.xml")
