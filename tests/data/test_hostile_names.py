"""Names that strangers give to files and classes: what of them reaches tables and logs."""

import csv
import io
import logging
from pathlib import Path

import pytest
from tests.data.folders import Data

from boxloop import borders, storage
from boxloop.artifacts import Run
from boxloop.data.findings import Findings
from boxloop.data.folder import read_folder
from boxloop.data.source import Source, read_source
from boxloop.listing import Listing
from boxloop.report.load import _read_set_aside
from boxloop.settings import DataConfig

FAKE = 'a\n@failure {"kind": "disk", "message": "all is lost", "subject": ""}'
CLEAR = "a\x1b[2J\x1b]0;owned\x07"


def read(data: Data) -> Source:
    return read_source(str(data.folder), data.config(near_duplicates=False), seed=1)


@pytest.mark.parametrize("name", [FAKE, CLEAR, "a\r", "a\x9b31m", "a\u2028b"])
def test_a_file_whose_name_orders_terminals_about_is_not_used(tmp_path: Path, name: str) -> None:
    data = Data(tmp_path)
    data.write(f"images/{name}.jpg", b"whatever it is")
    source = read(data)
    assert not [one for one in source.dataset.images["image_id"] if borders.has_control(one)]
    (found,) = (one for one in source.findings if one.kind == "bad_name")
    assert found.path.isprintable()
    assert found.path.startswith("images/a\\")


@pytest.mark.parametrize("name", [FAKE, CLEAR, "x" * 201])
def test_a_class_of_such_a_name_is_none(tmp_path: Path, name: str) -> None:
    data = Data(tmp_path)
    text = f'filename,width,height,class,xmin,ymin,xmax,ymax\nextra.jpg,40,30,"{name}",3,4,20,20\n'
    data.add("extra.jpg", "ace", "train")
    data.write("annotations/boxes.csv", text.replace('"kind"', "kind").encode())
    data.add("labelled.jpg", name, "pool")
    source = read(data)
    assert source.dataset.class_names == ["ace", "king"]
    images = source.dataset.images
    assert set(images["image_label"].dropna()) == {"ace", "king"}
    places = sorted(one.path for one in source.findings if one.kind == "odd_name")
    assert "images/labelled.jpg" in places
    if name != FAKE:  # whose quotes make rows of it that cannot be read
        assert places[0] == "annotations/boxes.csv: extra.jpg"


def test_no_log_has_a_line_that_a_name_brought_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Data(tmp_path)
    data.write(f"images/{FAKE}.jpg", b"no image")
    data.add("labelled.jpg", FAKE, "pool")
    with caplog.at_level(logging.DEBUG):
        read(data)
    assert not [line for line in caplog.text.splitlines() if line.startswith("@")]


def test_set_aside_names_are_text_in_a_spreadsheet_and_themselves_in_the_report(
    tmp_path: Path,
) -> None:
    formula = "=cmd|' C calc'!A0.jpg"
    data = Data(tmp_path)
    data.write(f"images/{formula}", b"no image")
    source = read(data)
    run = Run(str(tmp_path / "run"))
    rows = source.set_aside.assign(path=source.set_aside["path"].str.removeprefix("images/"))
    storage.write_bytes(run.set_aside, borders.spreadsheet_csv(rows))
    cells = csv.reader(io.StringIO(storage.read_bytes(run.set_aside).decode(), newline=""))
    assert not [cell for row in cells for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert formula in [path for path, _ in _read_set_aside(run)]


def test_an_object_of_a_bucket_that_is_no_file_below_its_folder_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["a.jpg", "../b.jpg", "x/../../c.jpg", "x//d.jpg", "./e.jpg", "f\n.jpg"]
    listing = Listing([f"images/{name}" for name in names], set(), set())
    # the emulator refuses such names; Google's own service takes them
    monkeypatch.setattr(storage, "list_folder", lambda _: listing)
    findings: Findings = []
    folder = read_folder("gs://bucket/names", DataConfig(uri="x"), findings)
    assert folder.image_ids == {"a.jpg"}
    assert [one.kind for one in findings] == ["bad_name"] * 5
