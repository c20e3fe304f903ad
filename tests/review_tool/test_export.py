import io
import json
from pathlib import Path

import pytest
from lxml import etree
from PIL import Image
from tests.data.pictures import ROTATED, encoded, exif, scene
from tests.review_tool.tool import (
    IMAGE_IDS,
    NAMES,
    bring_back,
    decisions,
    edit_voc,
    export,
    files,
    voc,
)
from tests.reviews import SURE, decision, make_run

from boxloop import review, storage
from boxloop.artifacts import Run
from boxloop.child import INPUT_ERROR
from boxloop.cli import main
from boxloop.review_export import FORMATS, _file_name

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("voc", ["classes.txt", *map(voc, NAMES)]),
        ("cvat", ["annotations.xml", "labels.json"]),
        ("label_studio", ["labels.xml", "tasks.json"]),
    ],
)
def test_a_queue_is_exported_for_a_tool(
    run: Run, folder: Path, kind: str, expected: list[str], capsys: Captured
) -> None:
    assert export(run, folder, "--format", kind) == 0
    images = [f"images/{name}" for name in NAMES]
    assert files(folder) == sorted([*expected, *images, "manifest.json"])
    assert capsys.readouterr().out == f"{folder}: 3 images of round 1\n"
    for name, image_id in IMAGE_IDS.items():
        stored = storage.read_bytes(f"{Path(run.uri).parents[1]}/images/{image_id}")
        assert (folder / "images" / name).read_bytes() == stored


def test_tools_are_told_the_classes(run: Run, folder: Path) -> None:
    for kind in FORMATS:
        export(run, folder / kind, "--format", kind)
    assert (folder / "voc/classes.txt").read_text() == "ace\nking\n"
    assert json.loads((folder / "cvat/labels.json").read_text())[1] == {"name": "king"}
    labels = etree.fromstring((folder / "label_studio/labels.xml").read_bytes()).iter("Label")
    assert [label.get("value") for label in labels] == ["ace", "king"]


def test_what_is_decided_is_not_exported_again(run: Run, folder: Path, capsys: Captured) -> None:
    review.record(run, 1, decision("a/sure.jpg", "accept", SURE))
    review.record(run, 1, decision("b/doubted.jpg", "skip"))
    assert export(run, folder) == 0
    exported = [name for name in files(folder) if name.endswith(".jpg")]
    assert exported == [
        "images/00001_unlabelled_doubted.jpg",
        "images/00002_unlabelled_bare.v2.jpg",
    ]
    for image_id in ("b/doubted.jpg", "b/bare.v2.jpg"):
        review.record(run, 1, decision(image_id, "reject"))
    assert export(run, folder / "more") == INPUT_ERROR
    assert "everything that round 1 asks is decided" in capsys.readouterr().err


def test_nothing_is_written_over(run: Run, folder: Path, capsys: Captured) -> None:
    export(run, folder)
    edit_voc(folder)
    before = (folder / voc(NAMES[0])).read_bytes()
    assert export(run, folder) == INPUT_ERROR
    assert "is there already: name another place with --to" in capsys.readouterr().err
    assert (folder / voc(NAMES[0])).read_bytes() == before


def test_a_bucket_is_no_place_for_a_tool(run: Run, capsys: Captured) -> None:
    assert main(["review", "export", run.uri, "--to", "gs://b/x"]) == INPUT_ERROR
    assert "want a local folder" in capsys.readouterr().err


def test_the_newest_round_goes_out_below_the_artifact_root(tmp_path: Path, run: Run) -> None:
    make_run(tmp_path, rounds=2)
    assert main(["review", "export", run.uri]) == 0
    assert main(["review", "export", f"{run.uri}/", "--round", "1"]) == 0
    place = tmp_path / "root/reviews/cards"
    found = [
        json.loads((place / name / "manifest.json").read_text())["round"]
        for name in ("round_01", "round_02")
    ]
    assert found == [1, 2]


def test_images_may_be_linked(run: Run, folder: Path) -> None:
    assert export(run, folder, "--link") == 0
    assert all((folder / "images" / name).is_symlink() for name in NAMES)
    assert bring_back(run, folder) == 0


def test_a_rotated_image_is_shown_as_its_boxes_are_counted(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    data = encoded(scene(), "JPEG", exif=exif(ROTATED))
    storage.write_bytes(str(tmp_path / "images/a/sure.jpg"), data)
    assert export(run, folder, "--link") == 0
    shown = Image.open(io.BytesIO((folder / "images/00001_ace_sure.png").read_bytes()))
    assert shown.size == (40, 30)
    assert not shown.getexif()
    assert bring_back(run, folder, "--accept-unchanged") == 0
    assert decisions(run)["a/sure.jpg"] == ("accept", (SURE,))


def test_an_image_that_is_gone_is_told_and_the_rest_goes_out(
    run: Run, folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "images/a/sure.jpg").unlink()
    assert export(run, folder) == 1
    said = capsys.readouterr()
    assert "2 images of round 1" in said.out
    assert "set aside: a/sure.jpg: " in said.err
    assert bring_back(run, folder) == 0


def test_long_names_of_any_script_fit_a_file_system() -> None:
    name = _file_name(1, "あ" * 90 + ".jpg", "犬" * 90)
    assert len(name.encode()) < 200
