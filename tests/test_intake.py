"""What a night takes from its inbox and what it does not: limits, copies, dirt."""

from pathlib import Path

import pytest
from tests.data.folders import HEIGHT, WIDTH
from tests.data.pictures import encoded, scene
from tests.nights import Nights, box, files, library

from boxloop import storage
from boxloop.data.dataset import (
    read_dataset,
)
from boxloop.data.formats.annotation import Box
from boxloop.data.formats.voc import build_voc

BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;"><!ENTITY e SYSTEM "file:///etc/passwd">]>
<annotation><filename>&d;&e;</filename></annotation>"""


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def test_new_images_never_join_the_test_set(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    test = library(nights).split("test")
    nights.arrive("test/a.png", 1, [box()])
    nights.put("images/copy.jpg", Path(test["uri"].iloc[0]).read_bytes())
    nights.arrive("b.png", 2, [box(shift=3)])
    nights.put("annotations/copy.xml", (nights.inbox / "annotations/b.xml").read_bytes())
    boxes = library(nights).boxes
    value = nights.take_in("second")
    assert value["taken"] == 1
    after = library(nights)
    assert after.split("test").equals(test)
    held = boxes[boxes["image_id"].isin(test["image_id"])].reset_index(drop=True)
    now = after.boxes[after.boxes["image_id"].isin(test["image_id"])].reset_index(drop=True)
    assert now.equals(held)


def copy_in(nights: Nights, image_id: str, name: str, boxes: list[Box]) -> None:
    """Put a copy of a picture of the library into the inbox, with boxes."""
    uri = library(nights).images.set_index("image_id").loc[image_id, "uri"]
    nights.put(f"images/{name}", storage.read_bytes(str(uri)))
    nights.put(f"annotations/{Path(name).stem}.xml", build_voc(name, WIDTH, HEIGHT, boxes))


def boxed(nights: Nights, split: str) -> list[tuple[str, str]]:
    """Image and class of each box of a split."""
    data = library(nights)
    boxes = data.boxes[data.boxes["image_id"].isin(data.split(split)["image_id"])]
    return list(zip(boxes["image_id"], boxes["class_name"], strict=True))


def test_one_night_does_not_replace_what_people_drew(nights: Nights) -> None:
    nights.set(intake={"tolerated": 1})
    nights.take_in("first")
    nights.try_out("first")
    before = boxed(nights, "train")
    for number, (image_id, class_name) in enumerate(before):
        copy_in(nights, image_id, f"copy_{number}.jpg", [box(class_name, 9)])
    with pytest.raises(ValueError, match="replaces the boxes of 4 of the library's 8 images"):
        nights.take_in("second")
    assert len(nights.night("x").records()) == 1
    nights.set(intake={"max_replaced_share": 0.5})
    assert nights.take_in("third")["taken"] == 4


def test_one_night_does_not_replace_all_labels(nights: Nights) -> None:
    nights.set(intake={"tolerated": 1})
    nights.take_in("first")
    nights.try_out("first")
    for number, (_, row) in enumerate(library(nights).split("pool").iterrows()):
        label = "king" if row["image_label"] == "ace" else "ace"
        nights.put(f"images/{label}/copy_{number}.jpg", storage.read_bytes(str(row["uri"])))
    with pytest.raises(ValueError, match="replaces the labels of 4 of"):
        nights.take_in("second")


def test_a_night_does_not_take_a_class_away(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    kings = [name for name, class_name in boxed(nights, "train") if class_name == "king"]
    for image_id in kings:
        copy_in(nights, image_id, image_id, [box("ace")])
    with pytest.raises(ValueError, match="without 'king'"):
        nights.take_in("second")
    assert len(nights.night("x").records()) == 1


def test_validation_images_keep_their_boxes(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    before = boxed(nights, "validation")
    copy_in(nights, before[0][0], "copy.jpg", [box("king", 5), box("king", 9)])
    assert nights.take_in("second")["refused"] == 1
    assert boxed(nights, "validation") == before


def test_near_duplicates_of_held_out_images_are_not_trained_on(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.arrive("validation/a.png", 3, [box()])
    nights.take_in("first")
    nights.try_out("first")
    assert "validation/a.png" in set(library(nights).split("validation")["image_id"])
    nights.put("images/ace/same.jpg", encoded(scene(3), "JPEG"))
    assert nights.take_in("second")["refused"] == 1
    assert "ace/same.jpg" not in set(library(nights).images["image_id"])


def test_classes_that_nobody_knows_wait_until_they_are_allowed(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 1, [box("queen"), box("ace")])
    nights.arrive("queen/b.png", 2)
    value = nights.take_in("second")
    assert (value["goes_on"], value["taken"], value["refused"]) == (False, 0, 2)
    nights.set(intake={"new_classes": ["queen"]})
    value = nights.take_in("third")
    assert (value["goes_on"], value["taken"]) == (True, 2)
    assert library(nights).class_names == ["ace", "king", "queen"]


def test_a_dirty_inbox_is_quarantined_and_the_rest_taken(nights: Nights) -> None:
    nights.set(intake={"max_broken_share": 1.0, "max_file_megabytes": 0.5})
    nights.take_in("first")
    nights.try_out("first")
    before = library(nights)
    nights.arrive("good.png", 1, [box()])
    nights.arrive("bomb.png", 2)
    nights.put("annotations/bomb.xml", BOMB)
    nights.put("images/empty.jpg", b"")
    nights.put("images/cut.png", encoded(scene(3), "PNG")[:90])
    nights.put("images/huge.png", b"\x89PNG" + bytes(600_000))
    nights.put("annotations/broken.xml", b"<annotation><object>")
    nights.put("image_labels.csv", b"filename,image_label\n../../etc/passwd,ace\n/etc/passwd,ace\n")
    (nights.inbox / "images" / "out.png").symlink_to("/etc/passwd")
    value = nights.take_in("second")
    assert value["taken"] == 1
    after = library(nights)
    assert set(after.images["image_id"]) - set(before.images["image_id"]) == {"good.png"}
    page = Path(value["doctor_uri"]).read_text()
    for name in ("empty.jpg", "cut.png", "huge.png", "bomb.png", "out.png"):
        assert name in page
    intake = storage.read_json(
        nights.night("x").library.intake(nights.night("x").records()[-1]["intake"])
    )
    listed = {one["path"].rpartition("/")[2] for one in intake["refused"]}
    assert {"empty.jpg", "cut.png", "huge.png", "bomb.png", "out.png"} <= listed


def test_what_was_broken_before_is_not_counted_again(nights: Nights) -> None:
    nights.set(intake={"max_broken_share": 0.5, "tolerated": 0})
    nights.put("images/empty.jpg", b"")
    nights.arrive("a.png", 1, [box()])
    nights.take_in("first")
    nights.try_out("first")
    nights.set(intake={"max_broken_share": 0.5, "tolerated": 0, "max_images": 9})
    nights.arrive("b.png", 2, [box()])
    assert (nights.take_in("second")["taken"], nights.take_in("second")["refused"]) == (1, 0)


@pytest.mark.parametrize(
    ("intake", "reason"),
    [
        pytest.param({"max_images": 3}, "4 new images", id="images"),
        pytest.param({"max_gigabytes": 1e-6}, "GB of new files", id="bytes"),
        pytest.param({"max_broken_share": 0.4, "tolerated": 0}, "cannot be read", id="broken"),
        pytest.param(
            {"max_unknown_share": 0.2, "max_broken_share": 1.0, "tolerated": 0},
            "does not know",
            id="unknown",
        ),
    ],
)
def test_over_a_limit_nothing_is_taken(
    nights: Nights, intake: dict[str, float], reason: str
) -> None:
    nights.take_in("first")
    nights.try_out("first")
    nights.set(intake=intake)
    nights.arrive("good.png", 1, [box()])
    nights.arrive("other.png", 2, [box("queen")])
    nights.put("images/empty.jpg", b"")
    nights.put("images/cut.png", b"\x89PNG")
    before = files(nights.root / "nightly" / "nightly" / "nights")
    with pytest.raises(ValueError, match=reason):
        nights.take_in("second")
    assert files(nights.root / "nightly" / "nightly" / "nights") == before


def test_of_copies_the_one_that_is_new_counts(nights: Nights) -> None:
    nights.arrive("a.png", 1, [box("ace")])
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("b.png", 1, [box("king", 4)])
    assert nights.take_in("second")["taken"] == 1
    nights.try_out("second")
    boxes = library(nights).boxes
    assert boxes.loc[boxes["image_id"] == "a.png", "class_name"].tolist() == ["king"]
    nights.arrive("other.png", 2, [box()])
    assert nights.take_in("third")["taken"] == 1  # and neither copy again
    assert library(nights).boxes["class_name"].tolist().count("king") == boxes[
        "class_name"
    ].tolist().count("king")


def test_copies_that_disagree_are_set_aside_and_listed(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    nights.arrive("a.png", 1, [box("ace")])
    nights.arrive("b.png", 1, [box("king")])
    value = nights.take_in("second")
    assert (value["taken"], value["refused"]) == (0, 2)
    assert "come with different boxes" in Path(value["doctor_uri"]).read_text()
    (nights.inbox / "images/b.png").unlink()
    assert nights.take_in("third")["taken"] == 1


def test_links_huge_pictures_and_crowds_of_boxes_are_set_aside(nights: Nights) -> None:
    nights.take_in("first")
    nights.try_out("first")
    nights.set(intake={"max_megapixels": 0.01, "max_boxes_per_image": 2})
    nights.arrive("good.png", 1, [box()])
    nights.arrive("crowd.png", 2, [box(), box(shift=2), box(shift=4)])
    nights.put("images/ace/large.png", encoded(scene(3, (101, 100)), "PNG"))
    (nights.inbox / "images/ace/link.png").symlink_to(nights.inbox / "images/good.png")
    value = nights.take_in("second")
    assert (value["taken"], value["refused"]) == (1, 3)
    page = Path(value["doctor_uri"]).read_text()
    for name in ("crowd.png", "large.png", "link.png"):
        assert name in page


def test_files_without_a_suffix_count_as_images(nights: Nights) -> None:
    nights.set(intake={"max_images": 2})
    for number in range(3):
        nights.put(f"images/ace/{number}", encoded(scene(number), "PNG"))
    with pytest.raises(ValueError, match="3 new images"):
        nights.take_in("first")


def test_pictures_without_a_label_join_where_people_are_asked(nights: Nights) -> None:
    nights.arrive("plain.png", 1)
    assert nights.take_in("first")["refused"] == 1
    nights.try_out("first")
    nights.set(oracle="both", ask_people=True, name="asked")
    assert nights.take_in("second")["taken"] == 1
    uri = nights.take_in("second")["overrides"]["data.version"]
    assert "plain.png" in set(read_dataset(uri).split("pool")["image_id"])
