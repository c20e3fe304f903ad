import pytest

from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.detect import Format, detect_format, parse_class_names, parse_file

STUDY = b"filename,width,height,class,xmin,ymin,xmax,ymax\n"
XML = b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- <annotations> -->\n<?x y?>\n'


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        pytest.param("a.xml", b"<annotation>\n", Format.VOC, id="VOC"),
        pytest.param("a.XML", XML + b'<annotation verified="yes">', Format.VOC, id="VOC, prolog"),
        pytest.param("a.xml", b"<annotations>", Format.CVAT, id="CVAT"),
        pytest.param("a.xml", "<annotations/>".encode("utf-16"), Format.CVAT, id="UTF-16"),
        pytest.param("a", b"<annotations>", Format.CVAT, id="no suffix"),
        pytest.param("a.xml", b"", Format.VOC, id="empty XML: VOC's parser says so"),
        pytest.param("a.xml", b"\x89PNG\r\n\0", Format.VOC, id="picture as XML"),
        pytest.param("a.xml", b"<svg/>", None, id="other XML"),
        pytest.param("a.html", b"<!DOCTYPE html><html>", None, id="page"),
        pytest.param("a.svg", b"<!-- open", None, id="only a comment"),
        pytest.param("a.json", b' {"info": {"year": 2020}, "ima', Format.COCO, id="COCO"),
        pytest.param("a.json", b'{"annotations": [', Format.COCO, id="COCO, other order"),
        pytest.param("a.json", b'{"shapes": [', None, id="other JSON"),
        pytest.param(
            "a.json", b'[\n {"id": 5, "annotations": [{', Format.LABEL_STUDIO, id="Label Studio"
        ),
        pytest.param("a.json", b'[{"data": {"image"', Format.LABEL_STUDIO, id="tasks"),
        pytest.param("a.json", b'[{"image_id": 1, "bbox": [', None, id="COCO results"),
        pytest.param("a.json", b"", None, id="empty JSON"),
        pytest.param("a.csv", STUDY, Format.STUDY_CSV, id="study"),
        pytest.param(
            "a.csv",
            b'\xef\xbb\xbfid,"class",filename,width,height,xmin,ymin,xmax,ymax\r\n\xe9',
            Format.STUDY_CSV,
            id="study, Latin-1",
        ),
        pytest.param(
            "image_labels.csv", b"filename,image_label,split\n", Format.LABELS, id="labels"
        ),
        pytest.param("groups.csv", b"path,group\na.jpg,1\n", None, id="other table"),
        pytest.param("a.txt", b"a.jpg,0,2,5,8,cat\n", Format.KAGGLE_TEXT, id="Kaggle"),
        pytest.param("a.csv", b'"a, b.jpg",,,,,\n', Format.KAGGLE_TEXT, id="Kaggle CSV"),
        pytest.param(
            "a.txt", b"junk\na.jpg,0,2,5,8,x\nb.jpg,1,2,5,8,x\n", Format.KAGGLE_TEXT, id="dirty"
        ),
        pytest.param("a.txt", b"0 0.5 0.5 0.1 0.1\n", Format.YOLO, id="YOLO"),
        pytest.param("classes.txt", b"0 0.5 0.5 0.1 0.1\n", Format.YOLO, id="image named classes"),
        pytest.param("a.txt", b"\n", Format.YOLO, id="YOLO without boxes"),
        pytest.param("a.txt", b"0 0.1 0.1 0.2 0.1 0.2 0.3", Format.YOLO, id="YOLO polygon"),
        pytest.param("classes.txt", b"cat\ndog\n", Format.CLASS_NAMES, id="classes.txt"),
        pytest.param("obj.names", b"cat\ndog\n", Format.CLASS_NAMES, id="Darknet's names"),
        pytest.param("data.yaml", b"# x\nnames:\n- cat\n", Format.CLASS_NAMES, id="data.yaml"),
        pytest.param("data.yml", b"nc: 2\n", None, id="other YAML"),
        pytest.param("train.txt", b"images/a.jpg\nimages/b.jpg\n", None, id="list of files"),
        pytest.param("README.txt", b"Photos of cats, dogs.\n", None, id="prose"),
        pytest.param("README.md", b"[cats](x) and dogs\n", None, id="Markdown"),
        pytest.param("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF", None, id="picture"),
        pytest.param("a.txt", b"0 0.5 0.5 0.1 0.1\0", None, id="binary"),
    ],
)
def test_format_is_told_by_its_content(name: str, head: bytes, expected: Format | None) -> None:
    assert detect_format(name, head) == expected


def test_line_that_the_head_cuts_does_not_count() -> None:
    line = b"0 0.5 0.5 0.1 0.1\n"
    head = (line + b" " * 4096)[:4093] + b"0 0"
    assert detect_format("a.txt", head) == detect_format("a.txt", line) == Format.YOLO
    # whole, it is one line of two that is none of YOLO's
    assert detect_format("a.txt", line + b"0 0") is None


def test_every_format_is_parsed_by_its_name() -> None:
    box = b'<box label="cat" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    data = b'<annotations><image name="a.jpg">' + box + b"</image></annotations>"
    expected = [Annotation("a.jpg", (Box("cat", 1, 2, 3, 4),))]
    assert parse_file("cvat", data, "x", []) == expected
    assert parse_file("kaggle_text", b"a.jpg,1,2,3,4,cat\n", "x", []) == expected
    relative = [Annotation("a", (Box("cat", 0, 0, 1, 1),), is_relative=True)]
    assert parse_file("yolo", b"0 0.5 0.5 1 1\n", "x/a.txt", ["cat"]) == relative


@pytest.mark.parametrize("kind", [Format.LABELS, Format.CLASS_NAMES])
def test_format_without_boxes_is_refused(kind: Format) -> None:
    with pytest.raises(ValueError, match=f"a: a file of format {kind} holds no boxes"):
        parse_file(kind, b"", "a", [])


def test_class_names_come_from_yaml_or_text() -> None:
    assert parse_class_names(b"names: [cat]", "x/data.YAML") == ["cat"]
    assert parse_class_names(b"cat\n", "x/obj.names") == ["cat"]
