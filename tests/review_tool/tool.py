"""Somebody who answers in a tool of their own: boxes go out, are changed there, and come back."""

import json
import re
from pathlib import Path

from lxml import etree
from tests.reviews import IMAGES

from boxloop import review
from boxloop.artifacts import Run
from boxloop.cli import main
from boxloop.data.formats.annotation import Box

NAMES = ["00001_ace_sure.jpg", "00002_unlabelled_doubted.jpg", "00003_unlabelled_bare.v2.jpg"]
IMAGE_IDS = dict(zip(NAMES, IMAGES, strict=True))
NEW_VOC = (
    "<object><name>ace</name><bndbox><xmin>{0}</xmin><ymin>{0}</ymin><xmax>{1}</xmax>"
    "<ymax>{1}</ymax></bndbox></object>"
)


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


def objects(folder: Path, name: str) -> tuple[Path, etree._Element]:
    path = folder / voc(name)
    return path, etree.fromstring(path.read_bytes())


def edit_first(folder: Path) -> None:
    """Move the left edge of the first image's first box."""
    path = folder / voc(NAMES[0])
    text = path.read_text()
    path.write_text(re.sub(r"<xmin>\d+</xmin>", "<xmin>9</xmin>", text, count=1))


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
