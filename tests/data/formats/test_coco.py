import json

import pytest

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.coco import build_coco, parse_coco

IMAGES = [{"id": 7, "file_name": "a.jpg", "width": 640, "height": 480}]
CATEGORIES = [{"id": 3, "name": "cat"}]
GOOD = {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30.5, 40]}
BOX = Box("cat", 10, 20, 40.5, 60)


def coco(annotations: list[object], **lists: object) -> list[Annotation]:
    root = {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations, **lists}
    return parse_coco(json.dumps(root).encode(), "a.json")


def test_box_is_its_corner_and_its_size() -> None:
    assert coco([GOOD]) == [Annotation("a.jpg", (BOX,), 640, 480)]


def test_sum_of_decimal_numbers_is_exact() -> None:
    (annotation,) = coco([GOOD | {"bbox": [0.1, 0.7, 0.2, 0.1]}])
    # in floats 0.1 + 0.2 is 0.30000000000000004, and 0.7 + 0.1 is 0.7999999999999999
    assert annotation.boxes == (Box("cat", 0.1, 0.7, 0.3, 0.8),)


def test_image_without_boxes_and_unknown_size_is_kept() -> None:
    images = [*IMAGES, {"id": "x", "file_name": "b.jpg"}]
    assert coco([], images=images)[1] == Annotation("b.jpg", ())


def test_file_is_written_for_other_tools() -> None:
    root = json.loads(build_coco([Annotation("a.jpg", (BOX,), 640, 480)]))
    assert root["images"] == [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}]
    assert root["categories"] == [{"id": 1, "name": "cat"}]
    assert root["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "area": 1220,  # 30.5 * 40
            "bbox": [10, 20, 30.5, 40],
        }
    ]


@pytest.mark.parametrize(
    ("entry", "kind", "detail"),
    [
        pytest.param({"iscrowd": 1}, "bad_row", "is a crowd (iscrowd), not one object", id="crowd"),
        pytest.param({"image_id": 8}, "bad_row", "there is no image of id 8", id="image"),
        pytest.param({"category_id": 4}, "bad_row", "there is no category of id 4", id="category"),
        pytest.param(
            {"category_id": [3]}, "bad_row", "there is no category of id a list", id="list as id"
        ),
        pytest.param(
            {"bbox": [1, 2, 3]}, "bad_number", "bbox needs 4 numbers, it has 3", id="short"
        ),
        pytest.param({"bbox": None}, "bad_number", "bbox needs 4 numbers, it has 0", id="no box"),
        pytest.param(
            {"bbox": [1, 2, 3, float("nan")]}, "bad_number", "bbox[3] is none, no number", id="nan"
        ),
        pytest.param(
            {"bbox": [1, "2", 3, 4]}, "bad_number", "bbox[1] is '2', no number", id="text"
        ),
        pytest.param(
            {"bbox": [1, True, 3, 4]}, "bad_number", "bbox[1] is a bool, no number", id="bool"
        ),
        pytest.param(
            {"bbox": [10**12, 2, 3, 4]},
            "bad_number",
            "bbox[0] is 1000000000000, no number",
            id="huge",
        ),
    ],
)
def test_entry_that_cannot_be_used_costs_no_other(
    entry: dict[str, object], kind: str, detail: str
) -> None:
    (annotation,) = coco([GOOD, GOOD | entry, GOOD])
    assert annotation.boxes == (BOX, BOX)
    assert annotation.findings == (Finding(kind, "a.json: annotation 2", detail),)


def test_bad_images_and_categories_are_named() -> None:
    (annotation,) = coco(
        [GOOD], images=[*IMAGES, {"id": 7, "file_name": "b.jpg"}, 5], categories=[*CATEGORIES, {}]
    )
    assert annotation.boxes == (BOX,)
    assert annotation.findings == (
        Finding("bad_row", "a.json: category 2", "needs an id of its own and a name"),
        Finding("bad_row", "a.json: image 2", "needs an id of its own and a file_name"),
        Finding("bad_row", "a.json: image 3", "needs an id of its own and a file_name"),
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "a.json: is not JSON: Expecting value", id="empty"),
        pytest.param(b"[]", "a.json: is no COCO file: it has no list of images", id="list"),
        pytest.param(b'{"images": []', "a.json: is not JSON", id="cut short"),
        pytest.param(b'{"images": [1]}', "a.json: image 1: needs an id of its own", id="no image"),
        pytest.param(b"\xff\xfe{", "a.json: is not UTF-8 text", id="UTF-16"),
    ],
)
def test_what_is_no_coco_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_coco(data, "a.json")
