"""What holds for every format: what is written is read back, and no bytes crash a parser."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.coco import build_coco, parse_coco
from boxloop.data.formats.cvat import build_cvat, parse_cvat
from boxloop.data.formats.detect import Format, detect_format, parse_class_names, parse_file
from boxloop.data.formats.label_studio import build_label_studio, parse_label_studio
from boxloop.data.formats.tables import (
    build_kaggle_text,
    build_study_csv,
    parse_kaggle_text,
    parse_study_csv,
)
from boxloop.data.formats.voc import build_voc, parse_voc
from boxloop.data.formats.yolo import (
    build_classes_txt,
    build_data_yaml,
    build_yolo,
    parse_classes_txt,
    parse_data_yaml,
    parse_yolo,
)

T = TypeVar("T")
calmly = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])

HEADS = {
    Format.VOC: b"<annotation>%s</annotation>",
    Format.CVAT: b"<annotations>%s</annotations>",
    Format.STUDY_CSV: b"filename,width,height,class,xmin,ymin,xmax,ymax\n%s",
    Format.KAGGLE_TEXT: b"a.jpg,1,2,3,4,cat\n%s",
    Format.COCO: b'{"images": [%s]}',
    Format.LABEL_STUDIO: b"[%s]",
    Format.YOLO: b"0 0.5 0.5 0.1 0.1\n%s",
}
"""What arbitrary bytes need around them to come further than a parser's first line."""


class Codec(NamedTuple):
    """A format's two halves, and an annotation less what the format has no place for."""

    build: Callable[[Sequence[Annotation]], bytes]
    parse: Callable[[bytes, str], list[Annotation]]
    strip: Callable[[Annotation], Annotation]


CODECS = {
    "study_csv": Codec(
        build_study_csv,
        parse_study_csv,
        lambda a: replace(a, image_label=None, is_inclusive=True),
    ),
    "kaggle_text": Codec(
        build_kaggle_text,
        parse_kaggle_text,
        lambda a: replace(a, image_label=None, width=None, height=None),
    ),
    "coco": Codec(build_coco, parse_coco, lambda a: replace(a, image_label=None)),
    "cvat": Codec(build_cvat, parse_cvat, lambda a: a),
}


def names(*, for_xml: bool) -> st.SearchStrategy[str]:
    """Return texts without spaces around them; XML can hold no control characters."""
    characters = st.characters(
        exclude_categories=["Cs", "Cc"] if for_xml else ["Cs"],
        exclude_characters="\ufeff\ufffe\uffff",
    )
    return st.text(characters, min_size=1).filter(lambda name: name == name.strip())


def boxes(names: st.SearchStrategy[str], largest: float = 1e8) -> st.SearchStrategy[Box]:
    corner = st.floats(-largest, largest) | st.integers(-2000, 2000).map(float)
    return st.builds(Box, names, corner, corner, corner, corner, st.just(False))


def annotations(
    names: st.SearchStrategy[str], **fields: st.SearchStrategy[object]
) -> st.SearchStrategy[list[Annotation]]:
    size = st.none() | st.integers(1, 10**9)
    one = st.builds(
        Annotation,
        image=names,
        boxes=fields.pop("boxes", st.lists(boxes(names), max_size=3).map(tuple)),
        width=size,
        height=size,
        image_label=st.none() | names,
        **fields,
    )
    return st.lists(one, max_size=3, unique_by=lambda annotation: annotation.image)


@pytest.mark.parametrize("name", CODECS)
@calmly
@given(data=st.data())
def test_what_is_written_is_read_back(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    written = data.draw(annotations(names(for_xml=name == "cvat")))
    parsed = codec.parse(codec.build(written), "a")
    # coordinates with fractions are noted
    assert [replace(found, findings=()) for found in parsed] == [*map(codec.strip, written)]


@calmly
@given(
    names(for_xml=True),
    st.integers(1, 10**9),
    st.lists(boxes(names(for_xml=True)), max_size=3),
    st.booleans(),
)
def test_voc_is_read_back(name: str, size: int, written: list[Box], difficult: bool) -> None:
    written = [box._replace(difficult=difficult) for box in written]
    annotation = parse_voc(build_voc(name, size, 1, written), "a.xml")
    assert (annotation.image, annotation.width, annotation.height) == (name, size, 1)
    assert annotation.boxes == tuple(written)


@calmly
@given(st.lists(boxes(st.sampled_from(["cat", "dog"]), largest=2), max_size=3))
def test_yolo_is_read_back(written: list[Box]) -> None:
    data = build_yolo(written, ["cat", "dog"])
    assert parse_yolo(data, "labels/a.b.txt", ["cat", "dog"]) == Annotation(
        "a.b", tuple(written), is_relative=True
    )


@calmly
@given(st.lists(names(for_xml=False)))
def test_class_names_are_read_back(written: list[str]) -> None:
    assert parse_data_yaml(build_data_yaml(written), "data.yaml") == written
    lines = [" ".join(name.split()) for name in written]
    assert parse_classes_txt(build_classes_txt(lines), "classes.txt") == lines


@calmly
@given(st.data())
def test_label_studio_is_read_back(data: st.DataObject) -> None:
    name = names(for_xml=False)
    found = st.lists(boxes(name, largest=2), max_size=3).map(tuple)
    written = data.draw(annotations(name, boxes=found, is_relative=st.just(True)))
    # sizes are said with boxes and labels, and nowhere else
    sized = [a for a in written if a.boxes or a.image_label]
    assert parse_label_studio(build_label_studio(sized), "a") == sized


def outcome(parse: Callable[[], T]) -> T | str:
    """Return what a parser returns, or the message of its ValueError."""
    try:
        return parse()
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("kind", HEADS)
@calmly
@given(data=st.binary() | st.text().map(str.encode), is_wrapped=st.booleans())
def test_any_bytes_are_read_or_refused(kind: Format, data: bytes, is_wrapped: bool) -> None:
    data = HEADS[kind] % data if is_wrapped else data
    found = outcome(lambda: parse_file(kind, data, "a.b", ["cat"]))
    if isinstance(found, str):
        assert found.startswith("a.b: ")
    else:
        assert all(isinstance(annotation, Annotation) for annotation in found)


@calmly
@given(
    st.binary() | st.text().map(str.encode),
    st.sampled_from(["a.xml", "a.json", "a.csv", "a.txt", "data.yaml", "classes.txt", "a"]),
)
def test_any_bytes_have_a_format_or_none(data: bytes, name: str) -> None:
    kind = detect_format(name, data)
    assert kind is None or isinstance(kind, Format)


@calmly
@given(st.binary() | st.text().map(str.encode), st.sampled_from(["data.yaml", "classes.txt"]))
def test_any_bytes_are_class_names_or_refused(data: bytes, name: str) -> None:
    found = outcome(lambda: parse_class_names(data, name))
    assert isinstance(found, list) or found.startswith(f"{name}: ")


KEYS = (
    "images",
    "annotations",
    "categories",
    "id",
    "image_id",
    "category_id",
    "bbox",
    "file_name",
    "name",
    "data",
    "image",
    "result",
    "type",
    "value",
    "x",
    "rectanglelabels",
    "choices",
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(['"cat"', "1e9999", "NaN", "-Infinity", "9" * 5000, '"\\ud800"', "0.5"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


def json_text(value: object) -> str:
    """Return JSON; texts in `value` are JSON already."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}": {json_text(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(json_text, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


@pytest.mark.parametrize("kind", [Format.COCO, Format.LABEL_STUDIO])
@calmly
@given(value=JSON)
def test_any_json_is_read_or_refused(kind: Format, value: object) -> None:
    found = outcome(lambda: parse_file(kind, json_text(value).encode(), "a.json", []))
    assert isinstance(found, list) or found.startswith("a.json: ")


NESTED_YAML = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
)
MERGED_YAML = b"a0: &a0 {x: y}\n" + b"".join(
    b"a%d: &a%d {<<: [%s]}\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
)
DEEP = 100_000


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        pytest.param("coco", b"[" * DEEP, id="deep JSON list"),
        pytest.param("coco", b'{"images":' * DEEP, id="deep JSON object"),
        pytest.param("coco", b'{"images": [' + b"[" * 900 + b"]" * 900 + b"]}", id="deep entry"),
        pytest.param("label_studio", b"[" + b"9" * DEEP + b"]", id="long whole number"),
        pytest.param("label_studio", b"[" + b"9" * DEEP + b".5]", id="long fraction"),
        pytest.param("voc", b"<annotation>" * DEEP, id="deep XML"),
        pytest.param("cvat", b"<annotations " + b"a='' " * DEEP + b"/>", id="attribute twice"),
        pytest.param(
            "cvat",
            b"<annotations " + b" ".join(b"a%d=''" % n for n in range(DEEP)) + b"/>",
            id="many attributes",
        ),
        pytest.param("study_csv", HEADS[Format.STUDY_CSV] % (b'"' * DEEP), id="quotes"),
        pytest.param("kaggle_text", b'"a\n' * DEEP, id="open quotes"),
        pytest.param("kaggle_text", b'"' + b"a" * 10 * DEEP, id="long field"),
        pytest.param("yolo", b"0 " + b"1 " * DEEP, id="long polygon"),
        pytest.param("yolo", b"0 " + b"1" * DEEP + b"x 0 1 1", id="long number"),
        pytest.param("data.yaml", b"[" * DEEP, id="deep YAML list"),
        pytest.param("data.yaml", b"- " * DEEP, id="deep YAML block"),
        pytest.param("data.yaml", b"names: " + b"{a: " * DEEP, id="deep YAML mapping"),
        pytest.param("data.yaml", NESTED_YAML, id="YAML aliases"),
        pytest.param("data.yaml", MERGED_YAML + b"names: *a11", id="YAML merges"),
        pytest.param("data.yaml", b'names: ["\\UFFFFFFFF"]', id="YAML escape"),
        pytest.param("data.yaml", b"%YAML " + b"9" * 5000 + b".1\n--- {}", id="YAML version"),
        pytest.param("data.yaml", b"names: &a [*a]", id="YAML cycle"),
    ],
)
def test_hostile_file_is_refused_or_read_in_no_time(kind: str, data: bytes) -> None:
    start = time.monotonic()
    if kind == "data.yaml":
        found: object = outcome(lambda: parse_class_names(data, kind))
    else:
        found = outcome(lambda: parse_file(kind, data, "a", ["cat"]))
    assert isinstance(found, list) or len(str(found)) < 400
    assert time.monotonic() - start < 20  # seconds; quadratic ones would take hours
