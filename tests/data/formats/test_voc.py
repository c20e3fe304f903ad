from pathlib import Path

import pytest

from boxloop.data.formats.voc import Annotation, Box, build_voc, parse_voc

OBJECT = """<object><name>king</name><bndbox>
<xmin>{xmin}</xmin><ymin>3</ymin><xmax>5</xmax><ymax>8</ymax></bndbox></object>"""


def voc(body: str) -> bytes:
    return f"<annotation>{body}</annotation>".encode()


def bomb() -> bytes:
    """Ten levels of tenfold expansion: 3 * 10**9 characters, were it expanded."""
    levels = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    return f'<!DOCTYPE x [<!ENTITY e0 "lol">{levels}]>'.encode() + voc(
        "<object><name>&e9;</name></object>"
    )


def test_first_pixel_is_1_in_voc_and_0_here_and_the_max_edge_is_past_the_last_pixel() -> None:
    data = voc(
        "<filename>a.jpg</filename><size><width>20</width><height>10</height></size>"
        + OBJECT.format(xmin=1)
    )
    # pixels 1 to 5 and 3 to 8, both included, are 5 x 6 pixels
    assert parse_voc(data, "a.xml") == Annotation("a.jpg", 20, 10, (Box("king", 0, 2, 5, 8),))


def test_order_of_children_does_not_matter() -> None:
    data = voc(
        "<object><bndbox><ymax>8</ymax><xmax>5</xmax><xmin> 1 </xmin><ymin>3.0</ymin></bndbox>"
        "<part><name>head</name></part><name> king </name></object><filename>a.jpg</filename>"
    )
    assert parse_voc(data, "a.xml").boxes == (Box("king", 0, 2, 5, 8),)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(Box("king", 0, 0, 1, 1), id="one pixel"),
        pytest.param(Box("a <b> & 'ü'", 3, 4, 500, 600), id="name to be escaped"),
        pytest.param(Box("king", 0.1, 0.30000000000000004, 1e-7 + 1, 1 / 3 + 1), id="fractions"),
    ],
)
def test_round_trip_is_exact(box: Box) -> None:
    data = build_voc("ü.jpg", 640, 480, [box])
    annotation = parse_voc(data, "a.xml")
    assert annotation == Annotation("ü.jpg", 640, 480, (box,))
    assert build_voc(annotation.filename, 640, 480, annotation.boxes) == data


def test_size_is_none_where_the_file_does_not_say() -> None:
    assert parse_voc(voc("<size><width>?</width></size>"), "a.xml") == Annotation(
        "", None, None, ()
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            OBJECT.format(xmin=1) * 2 + OBJECT.format(xmin="one"),
            r"a.xml: object 3: <xmin> 'one' is not a number",
            id="word",
        ),
        pytest.param(OBJECT.format(xmin="nan"), "<xmin> 'nan' is not a number", id="nan"),
        pytest.param(OBJECT.format(xmin="1e999"), "<xmin> '1e999' is not a number", id="infinite"),
        pytest.param(OBJECT.format(xmin="1_0"), "<xmin> '1_0' is not a number", id="underscore"),
        pytest.param(OBJECT.format(xmin=""), "<xmin> '' is not a number", id="no text"),
        pytest.param(OBJECT.format(xmin=6), "object 1: the box has no area: <xmin> 6", id="empty"),
        pytest.param(OBJECT.format(xmin=9), "object 1: the box has no area: <xmin> 9", id="turned"),
        pytest.param(
            OBJECT.format(xmin=1) + "<object><name> </name></object>",
            "a.xml: object 2: <name> is empty",
            id="blank name",
        ),
        pytest.param("<object/>", "object 1: <name> is empty", id="no name"),
        pytest.param(
            "<object><name>x</name></object>", "object 1: <bndbox> is missing", id="no box"
        ),
        pytest.param(
            "<object><name>x</name><bndbox/></object>", "<xmin> is missing", id="no coordinate"
        ),
    ],
)
def test_wrong_object_is_named(body: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_voc(voc(body), "a.xml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "a.xml: is not well-formed XML", id="empty"),
        pytest.param(b"<annotation><object>", "a.xml: is not well-formed XML", id="cut short"),
        pytest.param(b"\x89PNG\r\n", "a.xml: is not well-formed XML", id="picture"),
        pytest.param(b"<html/>", "expected <annotation>, found <html>", id="other XML"),
        pytest.param(bomb(), "a.xml: is not well-formed XML|<!DOCTYPE>", id="entity bomb"),
    ],
)
def test_what_is_no_voc_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_voc(data, "a.xml")


def test_external_entity_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("swordfish")
    data = f'<!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'.encode() + voc(
        "<filename>&s;</filename>"
    )
    with pytest.raises(ValueError, match="has a <!DOCTYPE>, which is not read") as error:
        parse_voc(data, "a.xml")
    assert "swordfish" not in str(error.value)
