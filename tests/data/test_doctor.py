import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.folders import BOX, HEIGHT, REAL_DATA, WIDTH, Data, picture

from boxloop.data.doctor import CLEAN, DIRTY, UNUSABLE, Diagnosis, diagnose, to_json
from boxloop.data.findings import KINDS, NOTE, Finding
from boxloop.data.formats.voc import build_voc
from boxloop.settings import DataConfig

IMAGE, XML = "images/train_0.jpg", "annotations/train_0.xml"
VOC = build_voc("train_0.jpg", WIDTH, HEIGHT, [BOX])  # corners 3, 4, 22, 23 in VOC's count


def replaced(old: str, new: str) -> Callable[[Data], None]:
    """Return what puts another text into the annotation of train_0.jpg."""

    def spoil(data: Data) -> None:
        assert old.encode() in VOC
        data.write(XML, VOC.replace(old.encode(), new.encode()))

    return spoil


def corners(*numbers: object) -> Callable[[Data], None]:
    """Return what gives train_0.jpg a second box with these corners, in VOC's count."""
    xmin, ymin, xmax, ymax = numbers
    bounds = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    second = f"<object><name>ace</name><bndbox>{bounds}</bndbox></object></annotation>"
    return replaced("</annotation>", second)


def image(content: bytes, name: str = IMAGE) -> Callable[[Data], None]:
    return lambda data: data.write(name, content)


def saved(mode: str, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (WIDTH, HEIGHT)).save(buffer, kind, **options)
    return buffer.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved("RGB", "JPEG", exif=exif)


def renamed(data: Data) -> None:
    (data.folder / XML).rename(data.folder / "annotations" / "other.xml")


def claimed(name: str) -> Callable[[Data], None]:
    """Return what annotates train_0.jpg by a file of another name, which names it so."""

    def spoil(data: Data) -> None:
        (data.folder / XML).unlink()
        data.write("annotations/other.xml", build_voc(name, WIDTH, HEIGHT, [BOX]))

    return spoil


def polygon(data: Data) -> None:
    shape = '<polygon label="ace" points="1,1;9,1;9,9"/>'
    image = f'<image name="pool_0.jpg" width="40" height="30">{shape}</image>'
    data.write("annotations/cvat.xml", f"<annotations>{image}</annotations>".encode())


def linked(data: Data) -> None:
    outside = data.folder.parent / "outside.jpg"
    outside.write_bytes(picture(99))
    (data.folder / "images" / "link.jpg").symlink_to(outside)


def shared_annotation(data: Data) -> None:
    data.write("images/train_0.png", picture(60, "PNG"))
    data.write(XML, build_voc("train_0", WIDTH, HEIGHT, [BOX]))


def misnamed(data: Data) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (data.folder / "images" / name).write_bytes(picture(60))


def copied(data: Data) -> None:
    original = data.folder / "images" / "pool_1.jpg"
    data.write("images/pool_2.jpg", original.read_bytes())


def without_pool(data: Data) -> None:
    del data.rows[8:]
    for path in (data.folder / "images").glob("pool*"):
        path.unlink()


def annotated_twice(data: Data) -> None:
    data.annotate("sub/train_0.jpg", [BOX])


def with_row(name: str, label: str, split: str) -> Callable[[Data], None]:
    return lambda data: data.add(name, label, split)


def alike(data: Data) -> None:
    data.write("groups.csv", b"path,group\nTest_0.jpg,1\npool_0.jpg,1\n")


OTHER = "annotations/other.xml"
CASES: dict[str, tuple[Callable[[Data], None], str, str]] = {
    # kind: what spoils the folder, where it is found, what is said of it
    "swapped_both": (corners(20, 20, 5, 6), f"{XML}: object 2", ""),
    "swapped_one": (corners(20, 5, 6, 20), f"{XML}: object 2", ""),
    "zero_area": (corners(7, 7, 7, 20), f"{XML}: object 2", ""),
    "outside": (corners(5, 5, 99, 20), f"{XML}: object 2", ""),
    "empty_after_clip": (corners(50, 50, 60, 60), f"{XML}: object 2", ""),
    "tiny_box": (corners(5, 5, 6, 7), f"{XML}: object 2", ""),
    "duplicate_box": (corners(3, 4, 22, 23), f"{XML}: object 2", ""),
    "zero_based": (corners(0, 5, 9, 20), XML, "1 of 2 boxes"),
    "float_coordinates": (corners(5.5, 5, 9, 20), XML, "1 of 2 boxes"),
    "bad_number": (corners("one", 5, 9, 20), f"{XML}: object 2", "<xmin> 'one' is not a number"),
    "not_a_box": (polygon, "annotations/cvat.xml: image 1: object 1", "a polygon is not read"),
    "no_name": (replaced("<name>ace</name>", ""), f"{XML}: object 1", "<name> is missing or empty"),
    "odd_name": (replaced("<name>ace</name>", "<name>a&#10;e</name>"), XML, "'a\\ne'"),
    "similar_names": (
        replaced("<name>ace</name>", "<name>Ace </name>"),
        "all files",
        "'Ace' (1 times) beside 'ace'",
    ),
    "reordered": (
        replaced(
            "<xmin>3</xmin>\n      <ymin>4</ymin>\n      <xmax>22</xmax>",
            "<xmin>3</xmin><xmax>22</xmax><ymin>4</ymin>",
        ),
        XML,
        "xmin, xmax, ymin, ymax",
    ),
    "size_differs": (replaced("<width>40</width>", "<width>41</width>"), XML, "41"),
    "depth_differs": (replaced("<depth>3</depth>", "<depth>1</depth>"), XML, "1"),
    "no_suffix": (claimed("train_0"), OTHER, "'train_0'"),
    "case_differs": (claimed("TRAIN_0.JPG"), OTHER, "'TRAIN_0.JPG'"),
    "foreign_path": (claimed("C:\\me\\train_0.jpg"), OTHER, "train_0.jpg"),
    "no_image": (lambda data: data.annotate("ghost.jpg", [BOX]), "annotations/ghost.xml", "ghost"),
    "ambiguous": (shared_annotation, XML, "'train_0' may be train_0.jpg or train_0.png"),
    "names_another": (replaced("train_0.jpg", "train_2.jpg"), XML, "called like train_0.jpg"),
    "annotated_twice": (annotated_twice, "annotations/sub/train_0.xml", f"goes with {XML} already"),
    "broken_annotation": (replaced("</annotation>", ""), IMAGE, f"{XML}: is not well-formed XML"),
    "unknown_file": (
        lambda data: data.write("annotations/notes.txt", b"ask Anna about the kings"),
        "annotations/notes.txt",
        "is in no format of annotations",
    ),
    "unread_folder": (lambda data: data.write("old/a.xml", VOC), "old", "1 files"),
    "bad_name": (misnamed, "images/caf\\xe9.jpg", "is not UTF-8"),
    "bad_row": (
        lambda data: data.rows.append(("../x.jpg", "ace", "pool")),
        "image_labels.csv: row 14",
        "leads out of",
    ),
    "leads_out": (linked, "images/link.jpg", "a link that is not followed"),
    "no_annotation": (with_row("new.jpg", "ace", "train"), "images/new.jpg", ""),
    "broken_image": (image(picture(1, size=(200, 200))[:-99]), IMAGE, "damaged or cut short"),
    "wrong_suffix": (image(picture(1, "PNG")), IMAGE, "PNG named .jpg"),
    "greyscale": (image(saved("L", "JPEG")), IMAGE, "mode L"),
    "converted": (image(saved("RGB", "BMP")), IMAGE, "BMP"),
    "deep_or_cmyk": (image(saved("CMYK", "JPEG")), IMAGE, "mode CMYK"),
    "exif_rotation": (image(rotated()), IMAGE, "6"),
    "duplicate_image": (copied, "images/pool_2.jpg", "the same file as pool_1.jpg"),
    "label_without_box": (
        replaced("<name>ace</name>", "<name>king</name>"),
        IMAGE,
        "the label is 'ace', its boxes are king",
    ),
    "not_boxed": (with_row("odd.jpg", "ace", "test"), "images/odd.jpg", "in the test split"),
    "bad_split": (with_row("odd.jpg", "ace", "later"), "images/odd.jpg", "split 'later' is none"),
    "no_usable_box": (
        lambda data: data.annotate("train_0.jpg", []),
        IMAGE,
        f"{XML} has no usable box",
    ),
    "no_pool": (without_pool, "images", "the candidate pool is empty"),
    "no_label": (with_row("odd.jpg", "", "pool"), "images/odd.jpg", "no image-level label"),
    "unknown_label": (with_row("odd.jpg", "joker", "pool"), "images/odd.jpg", "class 'joker'"),
    "unknown_class": (
        lambda data: data.annotate("val_0.jpg", [BOX, BOX._replace(class_name="joker")]),
        "images/val_0.jpg",
        "boxes of class 'joker'",
    ),
    "near_duplicate": (alike, "images/pool_0.jpg", "near duplicate of an image in the test"),
}


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


def examine(data: Data, **settings: object) -> Diagnosis:
    return diagnose(str(data.folder), data.config(**settings))


def found(diagnosis: Diagnosis, kind: str) -> list[Finding]:
    return [finding for a in diagnosis.ailments if a.kind == kind for finding in a.findings]


def test_every_kind_of_dirt_has_a_case() -> None:
    of_an_inbox = {"of_test", "of_validation", "too_large", "too_many_boxes", "link"}
    of_an_inbox |= {"disagreeing_copies"}  # tests/test_nightly.py has these
    assert set(CASES) | of_an_inbox == set(KINDS)


@pytest.mark.parametrize("kind", CASES)
def test_dirt_is_found_where_it_is(data: Data, kind: str) -> None:
    spoil, path, detail = CASES[kind]
    spoil(data)
    diagnosis = examine(data, min_box=3.0)
    assert path in [finding.path for finding in found(diagnosis, kind)]
    assert any(detail in finding.detail for finding in found(diagnosis, kind))
    assert diagnosis.problem is None
    others = {a.gravity for a in diagnosis.ailments} - {NOTE}
    assert diagnosis.status == (DIRTY if others else CLEAN)


@pytest.mark.parametrize("kind", CASES)
def test_no_good_image_is_lost_to_the_dirt_of_another(data: Data, kind: str) -> None:
    CASES[kind][0](data)
    diagnosis = examine(data, min_box=3.0)
    assert diagnosis.source is not None
    spoilt = {"train_0.jpg", "pool_0.jpg", "pool_2.jpg"}
    kept = set(diagnosis.source.dataset.images["image_id"])
    assert kept >= {row[0] for row in data.rows[:12]} - spoilt


def test_a_clean_folder_has_only_notes(data: Data) -> None:
    diagnosis = examine(data)
    assert {a.kind for a in diagnosis.ailments} == {"no_annotation"}  # the pool
    assert diagnosis.status == CLEAN


def test_a_folder_without_boxes_cannot_be_used(data: Data) -> None:
    for path in (data.folder / "annotations").iterdir():
        path.unlink()
    diagnosis = examine(data)
    assert diagnosis.status == UNUSABLE
    assert "no boxed image is left to train on" in str(diagnosis.problem)


def test_no_folder_cannot_be_used(tmp_path: Path) -> None:
    missing = Data(tmp_path / "data")
    diagnosis = diagnose(str(tmp_path / "none"), missing.config())
    assert (diagnosis.status, diagnosis.source) == (UNUSABLE, None)


def test_nothing_is_written(data: Data) -> None:
    config = data.config()
    before = {path: path.stat().st_mtime_ns for path in data.folder.rglob("*")}
    diagnose(str(data.folder), config)
    assert {path: path.stat().st_mtime_ns for path in data.folder.rglob("*")} == before


def test_programs_get_every_finding(data: Data) -> None:
    CASES["outside"][0](data)
    value = json.loads(json.dumps(to_json(examine(data))))
    (kind,) = [entry for entry in value["kinds"] if entry["kind"] == "outside"]
    assert (kind["count"], kind["gravity"], value["status"]) == (1, "repaired", DIRTY)
    assert kind["findings"][0]["path"] == f"{XML}: object 2"
    assert (value["images"], value["boxes"]) == (12, 9)


STRAYS = [f"annotations/x.{suffix}" for suffix in ("xml", "csv", "txt", "json", "yaml")]


@settings(max_examples=60)
@given(
    name=st.sampled_from([*STRAYS, "data.yaml", "images/x.jpg", "images/x.png", "truth/x.xml"]),
    content=st.binary(max_size=200)
    | st.text(max_size=80).map(str.encode)
    | st.sampled_from(
        [VOC, picture(1), b"0 .5 .5 .1 .1", b"x.jpg,1,2,3,4,ace", b"{}", b"[]"]
    ).flatmap(lambda whole: st.integers(0, len(whole)).map(lambda end: whole[:end])),
)
def test_no_file_stops_a_reading_or_costs_a_good_image(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Data(Path(folder))
        good = {row[0] for row in data.rows}
        data.write(name, content)
        diagnosis = examine(data)
    assert diagnosis.source is not None
    assert diagnosis.problem is None
    assert set(diagnosis.source.dataset.images["image_id"]) >= good


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        # as their READMEs list them
        ("playing_cards", "foreign_path", 363),
        ("microcontrollers", "foreign_path", 149),
        ("bccd", "zero_area", 2),
        ("bccd", "foreign_path", 364),
        ("chess12", "no_suffix", 10),
        ("chess12", "reordered", 11),
    ],
)
def test_dirt_of_real_data_sets_is_found(name: str, kind: str, count: int) -> None:
    folder = REAL_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs real photographs in {folder}, which are not part of the project")
    config = DataConfig(uri=str(folder), annotations="annotations_original", near_duplicates=False)
    diagnosis = diagnose(str(folder), config)
    assert len({f.path.partition(": ")[0] for f in found(diagnosis, kind)}) == count
