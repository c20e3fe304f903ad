import json

import pytest

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.label_studio import (
    answered_images,
    build_label_studio,
    parse_label_studio,
)

SIZE = {"original_width": 640, "original_height": 480}
VALUE = {"x": 10, "y": 20.5, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["cat"]}
GOOD = {"type": "rectanglelabels", "value": VALUE, **SIZE}
BOX = Box("cat", 0.1, 0.205, 0.4, 0.605)
CHOICE = {"type": "choices", "value": {"choices": ["pet"]}, **SIZE}
UPLOAD = "/data/upload/1/1a2b3c4d-a.jpg"


def task(*results: object, image: object = UPLOAD) -> dict[str, object]:
    return {"id": 5, "data": {"image": image}, "annotations": [{"result": list(results)}]}


def parse(*tasks: object) -> list[Annotation]:
    return parse_label_studio(json.dumps(tasks).encode(), "a.json")


def test_percent_become_shares_and_a_choice_the_label() -> None:
    # 10 % + 30 % is 0.4, and 20.5 % + 40 % is 0.605
    assert parse(task(GOOD, CHOICE), task(image="b.jpg")) == [
        Annotation("a.jpg", (BOX,), 640, 480, image_label="pet", is_relative=True),
        Annotation("b.jpg", (), is_relative=True),
    ]


def test_export_is_written_for_other_tools() -> None:
    (written,) = json.loads(
        build_label_studio([Annotation("a b.jpg", (BOX,), 640, 480, is_relative=True)])
    )
    assert written["data"]["image"].endswith("-a%20b.jpg")
    controls = {"from_name": "label", "to_name": "image"}  # without them it draws nothing
    assert written["annotations"] == [{"result": [GOOD | controls]}]


def test_images_may_lie_in_a_folder_that_label_studio_serves() -> None:
    images = "/data/local-files/?d=images"
    data = build_label_studio([Annotation("a b.jpg", (), 640, 480)], images=images)
    assert json.loads(data)[0]["data"]["image"] == "/data/local-files/?d=images/a%20b.jpg"
    assert parse_label_studio(data, "a.json")[0].image == "a b.jpg"


def test_a_task_is_answered_by_an_annotation_that_stands_even_an_empty_one() -> None:
    cancelled = {**task(image="c.jpg"), "annotations": [{"was_cancelled": True, "result": []}]}
    bare = {"data": {"image": "d.jpg"}, "annotations": []}
    data = json.dumps([task(GOOD), task(image="b.jpg"), cancelled, bare, 5]).encode()
    assert answered_images(data, "a.json") == {"a.jpg", "b.jpg"}


def test_boxes_in_pixels_are_not_written() -> None:
    with pytest.raises(ValueError, match=r"a\.jpg: its boxes are in pixels, not shares"):
        build_label_studio([Annotation("a.jpg", (BOX,))])


@pytest.mark.parametrize(
    ("image", "name"),
    [
        pytest.param("1a2b3c4d-a.jpg", "a.jpg", id="upload"),
        pytest.param("/data/local-files/?d=photos/b%20c.jpg", "b c.jpg", id="local file"),
        pytest.param("/data/local-files/?d=photos\\b.jpg", "b.jpg", id="local file on Windows"),
        pytest.param("https://x.org/p/a.jpg?alt=media/b", "a.jpg", id="address"),
        pytest.param("gs://bucket/p/a.jpg", "a.jpg", id="bucket"),
        pytest.param("1a2b3c4-a.jpg", "1a2b3c4-a.jpg", id="7 digits"),
        pytest.param(
            "1a2b3c4d-0000-4000-8000-0123456789ab.jpg",
            "1a2b3c4d-0000-4000-8000-0123456789ab.jpg",
            id="UUID",
        ),
    ],
)
def test_image_is_the_last_part_of_its_path(image: str, name: str) -> None:
    assert parse(task(image=image))[0].image == name


@pytest.mark.parametrize(
    ("result", "kind", "detail"),
    [
        pytest.param(
            GOOD | {"value": VALUE | {"x": "1"}}, "bad_number", "x is '1', not a number", id="text"
        ),
        pytest.param(
            GOOD | {"value": VALUE | {"x": float("inf")}},
            "bad_number",
            "x is none, not a number",
            id="infinite",
        ),
        pytest.param(
            GOOD | {"value": VALUE | {"rectanglelabels": []}}, "no_name", "it has no label", id="-"
        ),
        pytest.param(
            GOOD | {"value": VALUE | {"rotation": 30}},
            "not_a_box",
            "is rotated by 30 degrees; draw it upright",
            id="rotated",
        ),
        pytest.param(
            GOOD | {"type": "polygonlabels"},
            "not_a_box",
            "polygonlabels is not read, only rectanglelabels are",
            id="polygon",
        ),
    ],
)
def test_region_that_cannot_be_read_costs_no_other(result: object, kind: str, detail: str) -> None:
    (annotation,) = parse(task(GOOD, result, GOOD))
    assert annotation.boxes == (BOX, BOX)
    assert annotation.findings == (Finding(kind, "a.json: task 1: object 2", detail),)


def test_choice_about_one_box_is_not_the_images_label() -> None:
    choice = CHOICE | {"value": VALUE | {"choices": ["blurred"]}}
    assert parse(task(GOOD, choice))[0].image_label is None


def test_first_annotation_that_was_not_cancelled_is_used() -> None:
    annotations = [{"was_cancelled": True, "result": [GOOD] * 3}, {"result": [GOOD]}, {}]
    (annotation,) = parse(task() | {"annotations": annotations})
    assert annotation.boxes == (BOX,)
    detail = "2 annotations of one image; the first is used"
    assert annotation.findings == (Finding("annotated_twice", "a.json: task 1", detail),)


def test_task_without_an_image_costs_no_other() -> None:
    first, second = parse(task(GOOD), {"data": {"text": "x"}}, task(GOOD))
    assert first.boxes == second.boxes == (BOX,)
    assert first.findings == (Finding("bad_row", "a.json: task 2", "has no data.image"),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"{}", "a.json: is no list of tasks; export it as JSON", id="object"),
        pytest.param(b"[1]", "a.json: task 1: has no data.image", id="number"),
        pytest.param(b"[", "a.json: is not JSON", id="cut short"),
    ],
)
def test_what_is_no_export_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_label_studio(data, "a.json")
