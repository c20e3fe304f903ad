import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from tests.review_tool.tool import (
    EDITS,
    NAMES,
    NEW_VOC,
    bring_back,
    decisions,
    edit_first,
    edit_voc,
    export,
    objects,
    voc,
)
from tests.reviews import DOUBTED, SURE, decision

from boxloop import review, storage
from boxloop.artifacts import Run
from boxloop.child import INPUT_ERROR
from boxloop.data.dataset import BOX_COLUMNS, build_table, to_parquet
from boxloop.data.formats.annotation import Box
from boxloop.oracle.answers import Decision
from boxloop.review_export import FORMATS

Captured = pytest.CaptureFixture[str]
Edit = Callable[[Path], None]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_nobody_touched_is_no_decision(
    run: Run, folder: Path, kind: str, capsys: Captured
) -> None:
    export(run, folder, "--format", kind)
    assert bring_back(run, folder) == 0
    assert decisions(run) == {}
    assert "3 unchanged, 0 recorded before, 0 set aside" in capsys.readouterr().out


@pytest.mark.parametrize("kind", FORMATS)
def test_what_nobody_touched_may_be_right(run: Run, folder: Path, kind: str) -> None:
    export(run, folder, "--format", kind)
    for _ in range(2):
        assert bring_back(run, folder, "--accept-unchanged") == 0
    # to the last digit, and only where there is a box
    accepted = {"a/sure.jpg": ("accept", (SURE,)), "b/doubted.jpg": ("accept", (DOUBTED,))}
    assert decisions(run) == accepted
    assert len(review.read_decisions(run, 1)[0]) == 2


@pytest.mark.parametrize("kind", FORMATS)
def test_only_real_changes_come_back(run: Run, folder: Path, kind: str, capsys: Captured) -> None:
    export(run, folder, "--format", kind)
    EDITS[kind](folder)
    assert bring_back(run, folder) == 0
    found = decisions(run)
    # another class for the box as it was proposed, none at all, two where there was none
    assert found["a/sure.jpg"] == ("correct", (SURE._replace(class_name="king"),))
    assert found["b/doubted.jpg"] == ("reject", ())
    action, boxes = found["b/bare.v2.jpg"]
    assert (action, [box.class_name for box in boxes]) == ("correct", ["ace", "ace"])
    edges = [edge for box in boxes for edge in box.xyxy]
    assert edges == pytest.approx([0, 0, 10, 10, 10, 10, 20, 20])
    assert "Recorded: 0 accept, 2 correct, 1 reject" in capsys.readouterr().out
    assert bring_back(run, folder) == 0
    assert len(review.read_decisions(run, 1)[0]) == 3
    assert "0 unchanged, 3 recorded before" in capsys.readouterr().out


def test_a_box_that_was_moved_by_a_pixel_is_a_change(run: Run, folder: Path) -> None:
    export(run, folder)
    path, root = objects(folder, NAMES[0])
    root.find("object/bndbox/xmin").text = "4"  # type: ignore[union-attr]
    path.write_bytes(etree.tostring(root))
    bring_back(run, folder)
    # its other edges as the tool had them, in whole pixels
    assert decisions(run) == {"a/sure.jpg": ("correct", (Box("ace", 3, 3, 23, 24),))}


def test_a_change_after_an_import_is_a_further_decision(run: Run, folder: Path) -> None:
    export(run, folder)
    before = (folder / voc(NAMES[0])).read_bytes()
    for edit in (edit_voc, lambda folder: (folder / voc(NAMES[0])).write_bytes(before)):
        edit(folder)
        bring_back(run, folder, "--accept-unchanged")
    found = [one for one in review.read_decisions(run, 1)[0] if one.image_id == "a/sure.jpg"]
    assert [one.action for one in found] == ["correct", "accept"]


def test_decisions_of_others_do_not_bring_an_import_back(run: Run, folder: Path) -> None:
    export(run, folder)
    edit_voc(folder)
    bring_back(run, folder)
    review.record(run, 1, decision("a/sure.jpg", "accept", SURE))
    bring_back(run, folder)
    assert decisions(run)["a/sure.jpg"][0] == "accept"


def test_the_author_is_who_says_so_or_who_is_logged_in(run: Run, folder: Path) -> None:
    export(run, folder)
    edit_voc(folder)
    bring_back(run, folder)
    bring_back(run, folder, "--author", "Ruth")
    found: list[Decision] = review.read_decisions(run, 1)[0]
    assert [one.author for one in found] == ["otto"] * 3 + ["Ruth"] * 3


def spoil_class(folder: Path) -> None:
    path, root = objects(folder, NAMES[0])
    root.find("object/name").text = "joker"  # type: ignore[union-attr]
    path.write_bytes(etree.tostring(root))


def spoil_number(folder: Path) -> None:
    path, root = objects(folder, NAMES[0])
    root.append(etree.fromstring(NEW_VOC.format("one", 9)))
    path.write_bytes(etree.tostring(root))


def cut_short(folder: Path) -> None:
    path = folder / voc(NAMES[0])
    path.write_bytes(path.read_bytes()[:-30])


def say_two_things(folder: Path) -> None:
    path, root = objects(folder, NAMES[0])
    for name in ("king", "ace"):
        root.find("object/name").text = name  # type: ignore[union-attr]
        root.find("object/bndbox/xmin").text = "9"  # type: ignore[union-attr]
        (folder / name).mkdir()
        (folder / name / path.name).write_bytes(etree.tostring(root))


@pytest.mark.parametrize(
    ("spoil", "where", "problem"),
    [
        (spoil_class, "a/sure.jpg", "class 'joker' is unknown to the label map"),
        (spoil_number, voc(NAMES[0]), "is missing or no number"),
        (cut_short, voc(NAMES[0]), "is not well-formed XML"),
        (say_two_things, f"king/{Path(voc(NAMES[0])).name}", "says something else"),
        (lambda f: (f / "notes.txt").write_text("hello"), "notes.txt", "is in no format"),
        (lambda f: (f / "all.zip").write_bytes(b"PK\3\4"), "all.zip", "unpack archives"),
        (
            lambda f: (f / "x.xml").write_bytes((f / voc(NAMES[0])).read_bytes()),
            "x.xml",
            "names image 'x', which was not exported",
        ),
    ],
    ids=["class", "number", "cut", "twice", "notes", "archive", "other image"],
)
def test_what_cannot_be_used_is_set_aside_and_the_rest_is_recorded(
    run: Run, folder: Path, spoil: Edit, where: str, problem: str, capsys: Captured
) -> None:
    export(run, folder)
    path, root = objects(folder, NAMES[1])
    root.remove(root.find("object"))  # type: ignore[arg-type]
    path.write_bytes(etree.tostring(root))
    spoil(folder)
    capsys.readouterr()
    assert bring_back(run, folder) == 1
    assert decisions(run) == {"b/doubted.jpg": ("reject", ())}
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "set aside" in line]
    assert said.startswith(f"set aside: {where}: ")
    assert problem in said


def test_an_image_with_a_file_that_cannot_be_used_is_not_accepted(run: Run, folder: Path) -> None:
    export(run, folder)
    path, root = objects(folder, NAMES[0])
    root.append(etree.fromstring(NEW_VOC.format("one", 9)))
    (folder / "again").mkdir()
    (folder / "again" / path.name).write_bytes(etree.tostring(root))
    assert bring_back(run, folder, "--accept-unchanged") == 1
    assert list(decisions(run)) == ["b/doubted.jpg"]


def test_a_task_that_was_passed_over_is_no_decision(run: Run, folder: Path) -> None:
    export(run, folder, "--format", "label_studio")
    tasks = json.loads((folder / "tasks.json").read_text())
    tasks[0]["annotations"] = []
    tasks[1]["annotations"][0] |= {"was_cancelled": True, "result": []}
    (folder / "tasks.json").write_text(json.dumps(tasks))
    assert bring_back(run, folder, "--accept-unchanged") == 0
    assert decisions(run) == {}


def test_boxes_that_reach_out_are_clipped(run: Run, folder: Path) -> None:
    export(run, folder)
    path, root = objects(folder, NAMES[2])
    root.append(etree.fromstring(NEW_VOC.format(21, 99)))
    path.write_bytes(etree.tostring(root))
    bring_back(run, folder)
    assert decisions(run)["b/bare.v2.jpg"] == ("correct", (Box("ace", 20, 20, 40, 30),))


def damage(folder: Path, **fields: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda f: (f / "manifest.json").write_bytes(b'{"round": 1'), "is damaged"),
        (lambda f: (f / "manifest.json").write_bytes(b"[]"), "is damaged"),
        (lambda f: damage(f, format="coco"), "is damaged"),
        (lambda f: damage(f, images={"a": ["b"]}), "is damaged"),
        (lambda f: damage(f, round=None), "is damaged"),
        (lambda f: damage(f, round=7), "round 7 has no review queue"),
        (lambda f: damage(f, queue="0" * 64), "is an export of another queue"),
    ],
)
def test_a_folder_that_is_no_export_of_the_queue_is_refused(
    run: Run, folder: Path, spoil: Edit, problem: str, capsys: Captured
) -> None:
    export(run, folder)
    edit_voc(folder)
    spoil(folder)
    assert bring_back(run, folder) == INPUT_ERROR
    assert problem in capsys.readouterr().err
    assert decisions(run) == {}


def test_the_same_import_does_not_override_a_later_decision(run: Run, folder: Path) -> None:
    export(run, folder)
    edit_first(folder)
    assert bring_back(run, folder) == 0
    review.record(run, 1, decision("a/sure.jpg", "reject", author="otto"))
    assert bring_back(run, folder) == 0
    assert decisions(run)["a/sure.jpg"][0] == "reject"


def test_boxes_that_stand_beside_the_proposed_one_go_out_and_come_back(
    run: Run, folder: Path
) -> None:
    other = Box("king", 5.0, 6.0, 15.0, 16.0)
    row = {"image_id": "a/sure.jpg", "origin": "adopted", "round": 1, "weight": 1.0}
    storage.write_bytes(
        run.proposed_boxes(1), to_parquet(build_table([row | other._asdict()], BOX_COLUMNS))
    )
    export(run, folder)
    edit_first(folder)
    assert bring_back(run, folder) == 0
    action, boxes = decisions(run)["a/sure.jpg"]
    assert (action, len(boxes)) == ("correct", 2)
    assert other in boxes
