import time
from pathlib import Path

import pytest

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.voc import build_voc, parse_voc

OBJECT = """<object><name>king</name><bndbox>
<xmin>{xmin}</xmin><ymin>3</ymin><xmax>5</xmax><ymax>8</ymax></bndbox></object>"""


def voc(body: str) -> bytes:
    return f"<annotation>{body}</annotation>".encode()


def bomb(place: str) -> bytes:
    """Ten levels of tenfold expansion: 3 * 10**9 characters, were it expanded."""
    levels = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    return f'<!DOCTYPE x [<!ENTITY e0 "lol">{levels}]>'.encode() + voc(place)


def test_first_pixel_is_1_in_voc_and_0_here_and_the_max_edge_is_past_the_last_pixel() -> None:
    data = voc(
        "<filename>a.jpg</filename>"
        "<size><width>20</width><height>10</height><depth>3</depth></size>" + OBJECT.format(xmin=1)
    )
    # pixels 1 to 5 and 3 to 8, both included, are 5 x 6 pixels
    assert parse_voc(data, "a.xml") == Annotation(
        "a.jpg", (Box("king", 0, 2, 5, 8),), width=20, height=10, depth=3, is_inclusive=True
    )


def test_order_of_children_does_not_matter_and_is_noted_once() -> None:
    turned = (
        "<object><bndbox><ymax>8</ymax><xmax>5</xmax><xmin> 1 </xmin><ymin>3.0</ymin></bndbox>"
        "<part><name>head</name></part><name> king </name></object>"
    )
    annotation = parse_voc(
        voc(turned * 2 + "<filename>a.jpg</filename>" + OBJECT.format(xmin=1)), "a.xml"
    )
    assert annotation.boxes == (Box("king", 0, 2, 5, 8),) * 3
    detail = "2 of 3 boxes, the first has ymax, xmax, xmin, ymin"
    assert annotation.findings == (Finding("reordered", "a.xml", detail),)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box("king", 0, 0, 1, 1), id="one pixel"),
        pytest.param(Box("a <b> & 'ü'", 3, 4, 500, 600), id="name to be escaped"),
        pytest.param(Box("king", 0.1, 0.30000000000000004, 1e-7 + 1, 1 / 3 + 1), id="fractions"),
        pytest.param(Box("king", 5e-324, -5e-324, 1e9, 2), id="smallest and largest"),
        pytest.param(Box("king", 9, 9, 1, 1), id="swapped corners"),
        pytest.param(Box("king", 0, 0, 1, 1, difficult=True), id="difficult"),
    ],
)
def test_round_trip_is_exact(box: Box) -> None:
    data = build_voc("ü.jpg", 640, 480, [box])
    annotation = parse_voc(data, "a.xml")
    assert (annotation.image, annotation.boxes) == ("ü.jpg", (box,))
    assert (annotation.width, annotation.height, annotation.depth) == (640, 480, 3)
    assert build_voc(annotation.image, 640, 480, annotation.boxes) == data


@pytest.mark.parametrize(
    ("text", "difficult"),
    [("1", True), (" true\n", True), ("0", False), ("", False), ("Unspecified", False)],
)
def test_an_object_is_difficult_only_if_the_file_says_so(text: str, difficult: bool) -> None:
    node = OBJECT.format(xmin=1).replace("</name>", f"</name><difficult>{text}</difficult>")
    (box,) = parse_voc(voc(node), "a.xml").boxes
    assert box == Box("king", 0, 2, 5, 8, difficult)


@pytest.mark.parametrize("size", ["?", "", "0", "-3", "1.5", "9" * 5000, "²"])
def test_size_is_none_where_the_file_has_none(size: str) -> None:
    data = voc(f"<size><width>{size}</width></size>")
    assert parse_voc(data, "a.xml") == Annotation("", (), is_inclusive=True)


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        pytest.param(
            OBJECT.format(xmin="one"), "bad_number", "<xmin> 'one' is not a number", id="word"
        ),
        pytest.param(
            OBJECT.format(xmin="nan"), "bad_number", "<xmin> 'nan' is not a number", id="nan"
        ),
        pytest.param(
            OBJECT.format(xmin="1e99"), "bad_number", "<xmin> '1e99' is not a number", id="huge"
        ),
        pytest.param(
            OBJECT.format(xmin="9" * 99999),
            "bad_number",
            f"<xmin> '{'9' * 60}' is not a number",
            id="long",
        ),
        pytest.param(
            OBJECT.format(xmin="1_0"), "bad_number", "<xmin> '1_0' is not a number", id="underscore"
        ),
        pytest.param(OBJECT.format(xmin=""), "bad_number", "<xmin> '' is not a number", id="empty"),
        pytest.param("<object/>", "no_name", "<name> is missing or empty", id="no name"),
        pytest.param(
            "<object><name> </name></object>", "no_name", "<name> is missing or empty", id="blank"
        ),
        pytest.param(
            "<object><name>x</name></object>",
            "bad_number",
            "<bndbox> is missing or empty",
            id="no box",
        ),
        pytest.param(
            "<object><name>x</name><bndbox><xmin>1</xmin></bndbox></object>",
            "bad_number",
            "<ymin> is missing",
            id="no coordinate",
        ),
    ],
)
def test_object_that_cannot_be_read_costs_no_other(body: str, kind: str, detail: str) -> None:
    good = OBJECT.format(xmin=1)
    annotation = parse_voc(voc(good + body + good), "a.xml")
    assert annotation.boxes == (Box("king", 0, 2, 5, 8),) * 2
    assert annotation.findings == (Finding(kind, "a.xml: object 2", detail),)


@pytest.mark.parametrize(
    ("xmins", "kind", "detail"),
    [
        pytest.param(
            (0, 1, "0.0"), "zero_based", "2 of 3 boxes have an xmin or ymin of 0", id="0-based"
        ),
        pytest.param((1, 1.5, 2), "float_coordinates", "1 of 3 boxes", id="fraction"),
    ],
)
def test_unusual_coordinates_are_noted_once(
    xmins: tuple[object, ...], kind: str, detail: str
) -> None:
    annotation = parse_voc(voc("".join(OBJECT.format(xmin=xmin) for xmin in xmins)), "a.xml")
    assert [box.xmin + 1 for box in annotation.boxes] == [float(str(xmin)) for xmin in xmins]
    assert annotation.findings == (Finding(kind, "a.xml", detail),)


@pytest.mark.parametrize("path", ["/home/pi/a.jpg", r"C:\tensorflow\a.jpg", "../a.jpg", "gs://a"])
def test_path_of_another_machine_is_noted_and_not_used(path: str) -> None:
    annotation = parse_voc(voc(f"<filename>a.jpg</filename><path>{path}</path>"), "a.xml")
    assert annotation.image == "a.jpg"
    assert annotation.findings == (Finding("foreign_path", "a.xml", f"<path> is {path!r}"),)


def test_path_below_the_folder_is_not_noted() -> None:
    assert parse_voc(voc("<path>images/a..b/c.jpg</path>"), "a.xml").findings == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "a.xml: is not well-formed XML", id="empty"),
        pytest.param(b"<annotation><object>", "a.xml: is not well-formed XML", id="cut short"),
        pytest.param(b"\x89PNG\r\n", "a.xml: is not well-formed XML", id="picture"),
        pytest.param(b"<a>" * 100_000, "a.xml: is not well-formed XML", id="depth bomb"),
        pytest.param(b"<html/>", "expected <annotation>, found <html>", id="other XML"),
        pytest.param(
            b'<!DOCTYPE annotation SYSTEM "http://127.0.0.1/x.dtd"><annotation/>',
            "has a <!DOCTYPE>",
            id="document type elsewhere",
        ),
    ],
)
def test_what_is_no_voc_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_voc(data, "a.xml")


@pytest.mark.parametrize("place", ["<object><name>&e9;</name></object>", '<object name="&e9;"/>'])
def test_entities_are_not_expanded(place: str) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"a\.xml: (is not well-formed XML|has a <!DOCTYPE>)"):
        parse_voc(bomb(place), "a.xml")
    assert time.monotonic() - start < 20


def test_external_entity_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("swordfish")
    data = f'<!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'.encode() + voc(
        "<filename>&s;</filename>"
    )
    with pytest.raises(ValueError, match="has a <!DOCTYPE>, which is not read") as error:
        parse_voc(data, "a.xml")
    assert "swordfish" not in str(error.value)
