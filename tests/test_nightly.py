import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest
from tests.data.folders import picture
from tests.data.pictures import encoded, scene
from tests.nights import Nights, box, files, library

from boxloop import local_files, nightly, storage
from boxloop.data.dataset import (
    BOX_COLUMNS,
    REFUSED_COLUMNS,
    XYXY,
    Dataset,
    build_table,
    read_dataset,
)
from boxloop.library import Version, carry_boxes, write_version


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def test_the_first_night_goes_on_without_an_inbox(nights: Nights) -> None:
    value = nights.take_in("first")
    assert value["goes_on"]
    assert value["overrides"]["data.version"].endswith(nights.night("x").records()[0]["version"])
    assert len(library(nights).images) == 12  # all of the experiment's own data


def test_pictures_of_the_library_are_its_own(nights: Nights) -> None:
    nights.take_in("first")
    uris = library(nights).images["uri"]
    assert all(uri.startswith(str(nights.root / "nightly" / "nightly" / "images")) for uri in uris)
    assert {storage.digest(uri) for uri in uris} == set(library(nights).images["sha256"])


def test_nothing_new_is_a_night_without_rounds(nights: Nights) -> None:
    nights.arrive("a.png", 1, [box()])
    nights.take_in("first")
    nights.try_out("first")
    before = files(nights.root)
    value = nights.take_in("second")
    assert not value["goes_on"]
    assert value["reason"].startswith("Nothing new")
    assert files(nights.root) == before


def test_a_night_that_never_came_to_a_decision_is_made_up_for(nights: Nights) -> None:
    nights.take_in("first")
    assert nights.take_in("second")["goes_on"]
    nights.try_out("second")
    assert not nights.take_in("third")["goes_on"]


def test_the_same_night_again_says_the_same(nights: Nights) -> None:
    nights.arrive("a.png", 1, [box()])
    value = nights.take_in("first")
    nights.try_out("first")
    assert nights.take_in("first") == value
    assert len(nights.night("x").records()) == 1


def test_new_images_and_boxes_are_taken_in_and_the_inbox_is_left(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 1, [box("king")])
    nights.arrive("king/b.png", 2)
    before = files(nights.inbox)
    value = nights.take_in("second")
    assert (value["goes_on"], value["taken"], value["refused"]) == (True, 2, 0)
    images = library(nights).images.set_index("image_id")
    assert images.loc["a.png", "split"] == "train"
    assert (images.loc["king/b.png", "split"], images.loc["king/b.png", "image_label"]) == (
        "pool",
        "king",
    )
    boxes = library(nights).boxes
    assert boxes.loc[boxes["image_id"] == "a.png", "class_name"].tolist() == ["king"]
    assert files(nights.inbox) == before


def test_an_emptied_inbox_removes_nothing(nights: Nights) -> None:
    nights.arrive("a.png", 1, [box()])
    nights.take_in("first")
    nights.try_out("first")
    before = library(nights)
    (nights.inbox / "images" / "a.png").unlink()
    (nights.inbox / "annotations" / "a.xml").unlink()
    assert not nights.take_in("second")["goes_on"]
    assert library(nights).images.equals(before.images)
    assert library(nights).boxes.equals(before.boxes)


def test_new_boxes_take_the_place_of_older_ones(nights: Nights) -> None:
    nights.arrive("a.png", 1, [box()])
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 1, [box("king", 4), box("ace", 9)])
    assert nights.take_in("second")["taken"] == 1
    boxes = library(nights).boxes
    assert boxes.loc[boxes["image_id"] == "a.png", "xmin"].tolist() == [11.0, 6.0]


def test_boxes_for_a_pool_image_make_a_training_image_of_it(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    pool = library(nights).split("pool").iloc[0]
    nights.put("images/again.jpg", Path(pool["uri"]).read_bytes())
    nights.arrive("other.png", 5, [box()])
    nights.put("annotations/again.xml", (nights.inbox / "annotations/other.xml").read_bytes())
    nights.take_in("second")
    images = library(nights).images.set_index("image_id")
    assert images.loc[pool["image_id"], "split"] == "train"
    assert "again.jpg" not in images.index  # the same picture under another name
    assert pool["image_id"] in set(library(nights).boxes["image_id"])


def test_another_picture_of_the_same_name_is_another_image(nights: Nights) -> None:
    nights.arrive("a.png", 1, [box()])
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 2, [box()])
    nights.take_in("second")
    names = [name for name in library(nights).images["image_id"] if name.startswith("a")]
    assert len(names) == 2
    assert "a.png" in names


def test_no_name_makes_two_images_one(nights: Nights) -> None:
    nights.arrive("a.png", 1, [box()])
    nights.take_in("first")
    nights.try_out("first")
    crafted = f"a-{hashlib.sha256(encoded(scene(2), 'PNG')).hexdigest()[:8]}.png"
    nights.arrive(crafted, 3, [box()])
    nights.arrive("a.png", 2, [box()])
    nights.take_in("second")
    images = library(nights).images
    assert images["image_id"].is_unique
    assert {"a.png", crafted, crafted.replace(".png", "-2.png")} <= set(images["image_id"])
    data = library(nights)
    twice = Dataset(pd.concat([data.images, data.images[:1]]), data.boxes)
    with pytest.raises(ValueError, match="two images are called"):
        write_version(nights.night("x").library, Version(twice, data.boxes[:0]))


def test_boxes_are_carried_to_the_same_picture_alone(nights: Nights) -> None:
    nights.take_in("first")
    data = library(nights)
    ace, king = data.split("pool")["image_id"][:2]
    rows = [
        {"image_id": name, "class_name": "ace", "origin": "adopted", "round": 1, "weight": 1.0}
        | dict(zip(XYXY, (1.0, 1.0, 9.0, 9.0), strict=True))
        for name in (ace, king)
    ]
    refused = build_table(
        [{"image_id": name} | {"round": 1} for name in (ace, king)], REFUSED_COLUMNS
    )
    other = data.images.assign(
        sha256=data.images["sha256"].mask(data.images["image_id"] == king, "0")
    )
    final = Dataset(other, build_table(rows, BOX_COLUMNS), refused)
    carried = carry_boxes(Version(data, data.boxes[:0]), final)
    assert carried.standing["image_id"].tolist() == [ace]
    assert carried.refused["image_id"].tolist() == [ace]


def test_a_night_killed_at_any_write_comes_to_the_same_when_it_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _two_nights(tmp_path / "whole")
    nights = _one_night(tmp_path / "killed")
    attempts = 0
    while _cut_off(nights, attempts, monkeypatch):  # one write later each time
        attempts += 1
    assert attempts > 5
    assert _versions(nights) == whole


def _one_night(folder: Path) -> Nights:
    folder.mkdir()
    nights = Nights(folder)
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 1, [box()])
    nights.arrive("king/b.png", 2)
    return nights


def _two_nights(folder: Path) -> list[str]:
    nights = _one_night(folder)
    nights.take_in("second")
    return _versions(nights)


def _versions(nights: Nights) -> list[str]:
    """Return what each night left, but for where: the root is in the pictures' addresses."""
    found = []
    for record in nights.night("x").records():
        data = read_dataset(nights.night("x").library.version(record["version"]))
        found.append(data.images.drop(columns="uri").to_json() + data.boxes.to_json())
    return found


def _cut_off(nights: Nights, count: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a night that dies at its write number `count`; return whether it has so many."""
    left = [count]

    class Killed(BaseException):
        pass

    write = local_files.write

    def dying(path: Path, data: bytes) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(local_files, "write", dying)
        try:
            nights.take_in("second")
        except Killed:
            return True
    return False


def test_an_undone_night_is_not_taken_in_again(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 1, [box("king")])
    nights.take_in("second")
    nights.try_out("second")
    nightly.undo(nights.night("undo by me"), 1)
    assert not nights.take_in("third")["goes_on"]
    assert "a.png" not in set(library(nights).images["image_id"])
    with pytest.raises(ValueError, match="no night 9"):
        nightly.undo(nights.night("undo by me"), 9)


def test_an_undone_night_stays_undone_when_the_inbox_was_empty(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 1, [box("king")])
    nights.take_in("second")
    nights.try_out("second")
    nightly.undo(nights.night("undo by me"), 1)
    away = nights.inbox.rename(nights.inbox.with_name("away"))
    nights.take_in("third")
    away.rename(nights.inbox)
    assert nights.take_in("fourth")["taken"] == 0
    nights.arrive("another.png", 1, [box("king")])  # the same under another name
    assert nights.take_in("fifth")["taken"] == 0
    nights.arrive("another.png", 1, [box("king", 3)])  # it has changed
    assert nights.take_in("sixth")["taken"] == 1
    nights.try_out("sixth")
    nightly.undo(nights.night("undo again"), 2)
    assert nights.take_in("seventh")["taken"] == 0
    assert "a.png" in set(library(nights).images["image_id"])


def test_people_are_not_asked_at_night_unless_that_is_wanted(nights: Nights) -> None:
    nights.set(oracle="both")
    with pytest.raises(ValueError, match="ask_people"):
        nights.night("a")
    nights.set(ask_people=True)
    assert nights.night("a").settings["oracle.by"] == "both"


@pytest.mark.parametrize("settings", [{"oracle": {"by": "human"}}, {"data.uri": "elsewhere"}])
def test_what_a_night_decides_itself_is_refused(nights: Nights, settings: dict[str, str]) -> None:
    nights.set(settings=settings)
    with pytest.raises(ValueError, match="decided by the night itself"):
        nights.night("a")


def test_settings_may_be_nested_or_dotted(nights: Nights) -> None:
    nights.set(settings={"train": {"steps": 7}, "rounds": 2})
    experiment = nights.night("a").experiment
    assert (experiment.train.steps, experiment.train.batch_size, experiment.rounds) == (7, 4, 2)


@pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")
def test_an_inbox_may_be_in_a_bucket(nights: Nights, bucket: str) -> None:
    nights.arrive("a.png", 1, [box()])
    storage.upload_folder(nights.inbox, f"{bucket}/inbox")
    nights.set(inbox=f"{bucket}/inbox")
    assert nights.take_in("first")["taken"] == 1
    nights.try_out("first")
    assert not nights.take_in("second")["goes_on"]
    storage.write_bytes(f"{bucket}/inbox/images/ace/b.jpg", picture(3))
    assert nights.take_in("third")["taken"] == 1


def test_a_file_that_changes_while_nobody_looks_is_looked_at_again(nights: Nights) -> None:
    nights.put("images/ace/a.jpg", picture(200)[:50])
    nights.set(intake={"max_broken_share": 1.0})
    assert nights.take_in("first")["refused"] == 1
    nights.try_out("first")
    nights.put("images/ace/a.jpg", picture(200))
    os.utime(nights.inbox / "images/ace/a.jpg", (1, 1))
    assert nights.take_in("second")["taken"] == 1
