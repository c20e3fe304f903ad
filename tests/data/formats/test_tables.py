import pytest

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.tables import (
    build_kaggle_text,
    build_study_csv,
    parse_kaggle_text,
    parse_study_csv,
)

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
GOOD = "a.jpg,640,480,cat,1,3,5,8\n"
BOX = Box("cat", 0, 2, 5, 8)


def study(rows: str) -> list[Annotation]:
    return parse_study_csv((HEADER + rows).encode(), "a.csv")


def test_study_counts_pixels_from_1_and_its_rows_are_gathered_by_image() -> None:
    # pixels 1 to 5 and 3 to 8, both included, are 5 x 6 pixels
    assert study(GOOD + "b.jpg,20,10,dog,1,1,1,1\n" + GOOD) == [
        Annotation("a.jpg", (BOX, BOX), 640, 480, is_inclusive=True),
        Annotation("b.jpg", (Box("dog", 0, 0, 1, 1),), 20, 10, is_inclusive=True),
    ]


def test_study_columns_are_found_by_name() -> None:
    data = (
        b"\xef\xbb\xbfsplit,ymax,xmax,ymin,xmin, Class ,height,width,filename\r\n"
        b'train,8,5,3, 1 ,"cat, black",480,640,"a, b.jpg"\r\n'
    )
    assert parse_study_csv(data, "a.csv") == [
        Annotation("a, b.jpg", (Box("cat, black", 0, 2, 5, 8),), 640, 480, is_inclusive=True)
    ]


def test_the_unicode_text_of_spreadsheets_is_read() -> None:
    assert parse_study_csv((HEADER + GOOD).encode("utf-16"), "a.csv") == study(GOOD)


def test_study_is_written_as_it_is_read() -> None:
    annotations = [
        Annotation("a.jpg", (BOX, Box('"x", y', 0.5, 0, 1, 1)), 640, 480),
        Annotation("empty.jpg", (), None, None),
    ]
    assert build_study_csv(annotations).decode().splitlines() == [
        HEADER.strip(),
        "a.jpg,640,480,cat,1,3,5,8",
        'a.jpg,640,480,"""x"", y",1.5,1,1,1',
        "empty.jpg,,,,,,,",
    ]


@pytest.mark.parametrize(
    ("row", "kind", "detail"),
    [
        pytest.param("a.jpg,1,1,cat,1,3,5", "bad_row", "has 7 columns, it needs 8", id="short"),
        pytest.param(",1,1,cat,1,3,5,8", "bad_row", "names no image", id="no image"),
        pytest.param("a.jpg,1,1,cat,1,3,five,8", "bad_number", "'five' is not a number", id="word"),
        pytest.param("a.jpg,1,1,cat,1,3,,8", "bad_number", "'' is not a number", id="empty"),
        pytest.param("a.jpg,1,1,cat,1,3,inf,8", "bad_number", "'inf' is not a number", id="inf"),
        pytest.param("a.jpg,1,1,,1,3,5,8", "no_name", "its class is empty", id="no class"),
        pytest.param(
            'a.jpg,1,1,"cat,1,3,5,8',
            "bad_row",
            "a quote is not closed, or has text after it",
            id="open quote",
        ),
    ],
)
def test_bad_row_costs_no_other(row: str, kind: str, detail: str) -> None:
    (annotation,) = study(f"{GOOD}\n{row}\n{GOOD}")
    assert annotation.boxes == (BOX, BOX)
    # the header is row 1, and an empty one is row 3
    assert annotation.findings == (Finding(kind, "a.csv: row 4", detail),)


def test_unusual_coordinates_of_the_study_are_noted_once() -> None:
    first, second = study("a.jpg,9,9,cat,0,1,5,8\nb.jpg,9,9,cat,1.5,0,5,8\n")
    assert first.findings == (
        Finding("float_coordinates", "a.csv", "1 of 2 boxes"),
        Finding("zero_based", "a.csv", "2 of 2 boxes have an xmin or ymin of 0"),
    )
    assert second.findings == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "column filename is missing; there are 'none'", id="empty"),
        pytest.param(
            b"filename,width,height,label\n",
            "column class is missing; there are 'filename, width, height, label'",
            id="other column",
        ),
        pytest.param(b"\xfc", "a.csv: is not UTF-8 text .*; save it as UTF-8", id="Latin-1"),
        pytest.param(
            HEADER.encode() + b"x\n", "a.csv: row 2: has 1 columns, it needs 8", id="no image"
        ),
    ],
)
def test_what_is_no_study_csv_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_study_csv(data, "a.csv")


def test_kaggle_counts_pixels_from_0_and_ends_past_the_last_one() -> None:
    data = b"photos/a.jpg,0,2,5,8,cat\r\nb.jpg,,,,,\r\nphotos/a.jpg, 0.5 ,2,5,8,dog\r\n"
    annotations = parse_kaggle_text(data, "a.txt")
    assert annotations == [
        Annotation("photos/a.jpg", (BOX, Box("dog", 0.5, 2, 5, 8))),
        Annotation("b.jpg", ()),
    ]
    assert build_kaggle_text(annotations).decode().splitlines() == [
        "photos/a.jpg,0,2,5,8,cat",
        "photos/a.jpg,0.5,2,5,8,dog",
        "b.jpg,,,,,",
    ]


def test_bad_line_of_kaggle_text_is_named() -> None:
    (annotation,) = parse_kaggle_text(b"a.jpg,0,2,5,8,cat\na.jpg,0,2,5,1e10,cat\nx\n", "a.txt")
    assert annotation.boxes == (BOX,)
    assert annotation.findings == (
        Finding("bad_row", "a.txt: row 3", "has 1 columns, it needs 6"),
        Finding("bad_number", "a.txt: row 2", "'1e10' is not a number"),
    )
