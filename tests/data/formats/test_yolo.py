import pytest

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.yolo import (
    build_classes_txt,
    build_data_yaml,
    build_yolo,
    parse_classes_txt,
    parse_data_yaml,
    parse_yolo,
)

NAMES = ["cat", "dog"]
LINE = "1 0.3 0.5 0.2 0.5\n"
BOX = Box("dog", 0.2, 0.25, 0.4, 0.75)


def test_box_is_its_centre_and_size_and_the_arithmetic_is_decimal() -> None:
    # in floats 0.3 - 0.2 / 2 is 0.19999999999999998
    annotation = parse_yolo(f"\n{LINE}".encode(), "labels/train/a.b.txt", NAMES)
    assert annotation == Annotation("a.b", (BOX,), is_relative=True)
    assert build_yolo(annotation.boxes, NAMES).decode() == LINE


def test_polygon_becomes_the_box_around_it() -> None:
    data = b"0 0.1 0.5 0.6 0.2 0.3 0.9\n0 0.1 0.1 0.2 0.1 0.2 0.3 0.1 0.3\n"
    assert parse_yolo(data, "a.txt", NAMES).boxes == (
        Box("cat", 0.1, 0.2, 0.6, 0.9),
        Box("cat", 0.1, 0.1, 0.2, 0.3),
    )


def test_file_without_lines_is_an_image_without_boxes() -> None:
    assert parse_yolo(b"\r\n", "a.txt", []) == Annotation("a", (), is_relative=True)


@pytest.mark.parametrize(
    ("line", "kind", "detail"),
    [
        pytest.param("2 0 0 1 1", "bad_row", "class '2' is none of 0 to 1", id="unknown class"),
        pytest.param("-1 0 0 1 1", "bad_row", "class '-1' is none of 0 to 1", id="below 0"),
        pytest.param("dog 0 0 1 1", "bad_row", "class 'dog' is none of 0 to 1", id="name"),
        pytest.param("0.5 0 0 1 1", "bad_row", "class '0.5' is none of 0 to 1", id="fraction"),
        pytest.param(
            "0 0 0 1",
            "bad_row",
            "has 4 columns, a box has 5 and a polygon 7, 9, 11, ...",
            id="short",
        ),
        pytest.param(
            "0 0.5 0.5 0.1 0.1 0.9",
            "bad_row",
            "has 6 columns, a box has 5 and a polygon 7, 9, 11, ...",
            id="score",
        ),
        pytest.param("0 0.5 nan 0.1 0.1", "bad_number", "'nan' is not a number", id="nan"),
    ],
)
def test_bad_line_costs_no_other(line: str, kind: str, detail: str) -> None:
    annotation = parse_yolo(f"{LINE}{line}\n{LINE}".encode(), "a.txt", NAMES)
    assert annotation.boxes == (BOX, BOX)
    assert annotation.findings == (Finding(kind, "a.txt: row 2", detail),)


def test_boxes_without_class_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.txt: its classes have no names; add data\.yaml or"):
        parse_yolo(LINE.encode(), "a.txt", [])


def test_class_that_has_no_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="'dog' is none of the classes"):
        build_yolo([BOX], ["cat"])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("nc: 2\nnames: [cat, 'no']\n", id="list"),
        pytest.param("names:\n- cat\n- no\ntrain: ../train\n", id="block list"),
        pytest.param("names:\n  1: no  # is no boolean\n  0: cat\n", id="mapping"),
        pytest.param("path: &here x\nval: *here\nnames: {'0': cat, '1': \"no\"}\n", id="alias"),
    ],
)
def test_names_of_data_yaml_are_read_as_they_stand(text: str) -> None:
    assert parse_data_yaml(text.encode(), "data.yaml") == ["cat", "no"]


def test_data_yaml_is_written_with_its_number_of_classes() -> None:
    assert build_data_yaml(["cat", "no"]) == b"nc: 2\nnames:\n- cat\n- 'no'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "data.yaml: has no list of names; add `names: ", id="empty"),
        pytest.param("names: cat", "has no list of names", id="text"),
        pytest.param("names: {0: cat, 2: dog}", "names has no number 1; number", id="gap"),
        pytest.param("names: {0: cat, 0: dog}", "names has no number 1; number", id="twice"),
        pytest.param("names: {cat: 0}", "names has no number 0; number", id="turned"),
        pytest.param("names: [cat, [dog]]", "class 1 has no name; give it one", id="list in list"),
        pytest.param("names: [cat, '']", "class 1 has no name; give it one", id="empty name"),
        pytest.param("names: [cat", "data.yaml: is not YAML that can be read: ", id="open list"),
        pytest.param("#" * 500_001, "data.yaml: is larger than 500000 bytes", id="large"),
    ],
)
def test_data_yaml_without_names_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_data_yaml(text.encode(), "data.yaml")


def test_classes_txt_has_a_name_a_line() -> None:
    assert parse_classes_txt(b"\xef\xbb\xbfcat\r\n black dog \r\n\r\n", "classes.txt") == [
        "cat",
        "black dog",
    ]
    assert build_classes_txt(["cat", "black dog"]) == b"cat\nblack dog\n"


def test_class_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"classes\.txt: row 2 is empty; write a class name there"):
        parse_classes_txt(b"cat\n\ndog\n", "classes.txt")
