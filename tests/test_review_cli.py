import getpass
import io
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from PIL import Image
from tests.data.pictures import ROTATED, encoded, exif, scene
from tests.reviews import DOUBTED, IMAGES, SURE, decision, make_run

from boxloop import review, review_cli, storage
from boxloop.artifacts import Run
from boxloop.child import INPUT_ERROR
from boxloop.cli import main
from boxloop.data.dataset import BOX_COLUMNS, build_table, to_parquet
from boxloop.data.formats.annotation import Box
from boxloop.oracle.answers import Decision
from boxloop.review_export import FORMATS, _file_name

Captured = pytest.CaptureFixture[str]
Edit = Callable[[Path], None]
NAMES = ["00001_ace_sure.jpg", "00002_unlabelled_doubted.jpg", "00003_unlabelled_bare.v2.jpg"]
IMAGE_IDS = dict(zip(NAMES, IMAGES, strict=True))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("BOXLOOP_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(getpass, "getuser", lambda: "otto")
    return make_run(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def export(run: Run, folder: Path, *options: str) -> int:
    return main(["review", "export", run.uri, "--to", str(folder), *options])


def bring_back(run: Run, folder: Path, *options: str) -> int:
    return main(["review", "import", run.uri, str(folder), *options])


def decisions(run: Run) -> dict[str, tuple[str, tuple[Box, ...]]]:
    found, set_aside = review.read_decisions(run, 1)
    assert not set_aside
    return {one.image_id: (one.action, one.boxes) for one in found}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def voc(name: str) -> str:
    return f"images/{Path(name).stem}.xml"


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


def test_the_commands_know_all_formats() -> None:
    assert review_cli.FORMATS == FORMATS


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


def objects(folder: Path, name: str) -> tuple[Path, etree._Element]:
    path = folder / voc(name)
    return path, etree.fromstring(path.read_bytes())


def edit_voc(folder: Path) -> None:
    path, root = objects(folder, NAMES[0])
    root.find("object/name").text = "king"  # type: ignore[union-attr]
    path.write_bytes(etree.tostring(root))
    path, root = objects(folder, NAMES[1])
    root.remove(root.find("object"))  # type: ignore[arg-type]
    path.write_bytes(etree.tostring(root))
    path, root = objects(folder, NAMES[2])
    for at in (1, 11):
        root.append(etree.fromstring(NEW_VOC.format(at, at + 9)))
    path.write_bytes(etree.tostring(root))


NEW_VOC = (
    "<object><name>ace</name><bndbox><xmin>{0}</xmin><ymin>{0}</ymin><xmax>{1}</xmax>"
    "<ymax>{1}</ymax></bndbox></object>"
)


def edit_cvat(folder: Path) -> None:
    """As CVAT exports what was changed there: a file of its own, boxes with two decimals."""
    root = etree.fromstring((folder / "annotations.xml").read_bytes())
    first, second, third = root.iter("image")
    first[0].set("label", "king")
    second.remove(second[0])
    for at in (0, 10):
        corners = zip(("xtl", "ytl", "xbr", "ybr"), (at, at, at + 10, at + 10), strict=True)
        etree.SubElement(third, "box", {"label": "ace", **{k: f"{v:.2f}" for k, v in corners}})
    for image in (first, second, third):
        image.set("name", f"images/{image.get('name')}")
    (folder / "exported").mkdir()
    (folder / "exported/annotations.xml").write_bytes(etree.tostring(root))


def edit_label_studio(folder: Path) -> None:
    """As Label Studio exports it: beside the tasks that it was given, which nobody changed."""
    tasks = json.loads((folder / "tasks.json").read_text())
    first, second, third = (task["annotations"][0] for task in tasks)
    first["result"][0]["value"]["rectanglelabels"] = ["king"]
    second["result"].clear()
    for at in (0, 10):
        value = {"x": at * 2.5, "y": at / 0.3, "width": 25, "height": 10 / 0.3}
        label = {"rotation": 0, "rectanglelabels": ["ace"]}
        third["result"].append({"type": "rectanglelabels", "value": value | label})
    (folder / "project-1.json").write_text(json.dumps(tasks))


EDITS = {"voc": edit_voc, "cvat": edit_cvat, "label_studio": edit_label_studio}


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


def test_a_closed_review_neither_goes_out_nor_comes_back(
    run: Run, folder: Path, capsys: Captured
) -> None:
    export(run, folder)
    edit_voc(folder)
    review.close(run, 1)
    for code in (bring_back(run, folder), export(run, folder / "more")):
        assert code == INPUT_ERROR
    assert capsys.readouterr().err.count("the review of round 1 is closed") == 2
    assert decisions(run) == {}


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


def test_status_tells_how_far_people_are(
    run: Run, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    review.record(run, 1, decision("a/sure.jpg", "accept", SURE, seconds=2.4))
    review.record(run, 1, decision("b/doubted.jpg", "skip", author="ben"))
    assert main(["review", "status", run.uri]) == 0
    cells = [one.strip() for one in capsys.readouterr().out.splitlines()[3].split("│")[1:-1]]
    assert cells == ["1", "3", "1", "1", "4", "anna 1, ben 0", "open"]
    storage.write_bytes(f"{run.decisions(1)}/half.json", b"{")
    review.close(run, 1)
    assert main(["review", "status", run.uri]) == 1
    said = capsys.readouterr()
    assert "closed" in said.out
    assert f"set aside: {run.decisions(1)}/half.json: decision: is not JSON" in said.err


@pytest.mark.parametrize("command", ["status", "export"])
def test_a_run_that_asks_nobody_is_an_error(command: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["review", command, str(tmp_path / "none")]) == INPUT_ERROR
    assert "no round has a review queue" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")
def test_run_and_images_may_lie_in_a_bucket(tmp_path: Path, bucket: str, folder: Path) -> None:
    local = make_run(tmp_path, image_root=f"{bucket}/photos")
    storage.upload_folder(Path(local.uri), f"{bucket}/experiments/remote")
    run = Run(f"{bucket}/experiments/remote")
    assert export(run, folder, "--link") == 0
    edit_voc(folder)
    assert bring_back(run, folder, "--author", "anna") == 0
    assert {action for action, _ in decisions(run).values()} == {"correct", "reject"}


def test_the_commands_of_the_documentation_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[1] / "docs/review.md").read_text()
    commands = re.findall(r"^ +boxloop (review .*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 5
    monkeypatch.chdir(tmp_path)
    for command in commands:
        arguments = shlex.split(command.replace("RUN", run.uri))
        assert main(arguments) == 0, command


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


def edit_first(folder: Path) -> None:
    """Move the left edge of the first image's first box."""
    path = folder / voc(NAMES[0])
    text = path.read_text()
    path.write_text(re.sub(r"<xmin>\d+</xmin>", "<xmin>9</xmin>", text, count=1))


def test_long_names_of_any_script_fit_a_file_system() -> None:
    name = _file_name(1, "あ" * 90 + ".jpg", "犬" * 90)
    assert len(name.encode()) < 200
