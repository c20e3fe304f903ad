"""COCO's JSON of boxes: 0-based pixels, as [x, y, width, height]."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.draft import Draft, finish
from boxloop.data.formats.untrusted import (
    EXACT,
    exact,
    json_list,
    json_number,
    json_object,
    json_shown,
    json_size,
    json_text,
    number_text,
    parse_json,
)

_Key = int | str | None  # of an image or category; None: unusable


def parse_coco(data: bytes, where: str) -> list[Annotation]:
    """Return the annotations in a COCO file.

    Args:
        data: the file's bytes: an object with images, annotations and categories.
        where: name of the file, for messages.

    Returns:
        One for each entry of images, in their order. Findings are bad_row for an entry that
        cannot be used, of a crowd, or of an image or category that is not in the file, bad_number
        and no_name.

    Raises:
        ValueError: if it is no JSON, has no list of images, or entries but no image.
    """
    root = json_object(parse_json(data, where))
    if not isinstance(root.get("images"), list):
        raise ValueError(f"{where}: is no COCO file: it has no list of images")
    strays: list[Finding] = []
    categories = _by_id(root, "categories", "name", f"{where}: category", strays)
    entries = _by_id(root, "images", "file_name", f"{where}: image", strays)
    drafts = {key: _draft(name, entry) for key, (name, entry) in entries.items()}
    for number, entry in _entries(root, "annotations"):
        draft = drafts.get(_key(entry.get("image_id")))
        found = _parse_box(entry, categories, f"{where}: annotation {number}")
        if draft is not None:
            draft.add(found)
        else:
            detail = f"there is no image of id {json_shown(entry.get('image_id'))}"
            strays.append(Finding("bad_row", f"{where}: annotation {number}", detail))
    return finish(drafts.values(), strays)


def build_coco(annotations: Iterable[Annotation]) -> bytes:
    """Return a COCO file that `parse_coco` reads back exactly, less depths and labels.

    Images and categories are numbered from 1, categories by name.
    """
    annotations = list(annotations)
    names = sorted({box.class_name for annotation in annotations for box in annotation.boxes})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    images: list[str] = []
    boxes: list[str] = []
    for image_number, annotation in enumerate(annotations, start=1):
        size = {"width": annotation.width, "height": annotation.height}
        image = {"id": image_number, "file_name": annotation.image, **size}
        images.append(json.dumps(image, ensure_ascii=False))
        for box in annotation.boxes:
            boxes.append(
                f'{{"id": {len(boxes) + 1}, "image_id": {image_number}, '
                f'"category_id": {numbers[box.class_name]}, "iscrowd": 0, {_measures(box)}}}'
            )
    categories = [
        json.dumps({"id": number, "name": name}, ensure_ascii=False)
        for name, number in numbers.items()
    ]
    lists = {"images": images, "annotations": boxes, "categories": categories}
    texts = [f'"{key}": [\n' + ",\n".join(rows) + "\n]" for key, rows in lists.items()]
    return ("{\n" + ",\n".join(texts) + "\n}\n").encode()


def _by_id(
    root: Mapping[str, object], key: str, field: str, what: str, strays: list[Finding]
) -> dict[_Key, tuple[str, Mapping[str, object]]]:
    """Return id -> name and entry of a list whose entries need an id of their own and a name."""
    found: dict[_Key, tuple[str, Mapping[str, object]]] = {}
    for number, entry in _entries(root, key):
        own, name = _key(entry.get("id")), json_text(entry.get(field))
        if own is None or own in found or not name:
            detail = f"needs an id of its own and a {field}"
            strays.append(Finding("bad_row", f"{what} {number}", detail))
        else:
            found[own] = (name, entry)
    return found


def _draft(name: str, entry: Mapping[str, object]) -> Draft:
    return Draft(name, width=json_size(entry.get("width")), height=json_size(entry.get("height")))


def _parse_box(
    entry: Mapping[str, object],
    categories: Mapping[_Key, tuple[str, Mapping[str, object]]],
    where: str,
) -> Box | Finding:
    if entry.get("iscrowd") not in (None, 0, False):
        return Finding("bad_row", where, "is a crowd (iscrowd), not one object")
    category = categories.get(_key(entry.get("category_id")))
    if category is None:
        detail = f"there is no category of id {json_shown(entry.get('category_id'))}"
        return Finding("bad_row", where, detail)
    values = json_list(entry.get("bbox"))
    if len(values) != 4:
        return Finding("bad_number", where, f"bbox needs 4 numbers, it has {len(values)}")
    numbers = []
    for place, value in enumerate(values):
        if (number := json_number(value)) is None:
            detail = f"bbox[{place}] is {json_shown(value)}, no number"
            return Finding("bad_number", where, detail)
        numbers.append(number)
    x, y, width, height = numbers
    # decimal numbers, since 0.1 + 0.2 is not 0.3 in floats
    xmax, ymax = EXACT.add(x, width), EXACT.add(y, height)
    return Box(category[0], float(x), float(y), float(xmax), float(ymax))


def _measures(box: Box) -> str:
    """Return the JSON of a box's bbox and area; exact, which json.dumps cannot be."""
    xmin, ymin, xmax, ymax = (exact(value) for value in box.xyxy)
    width, height = EXACT.subtract(xmax, xmin), EXACT.subtract(ymax, ymin)
    numbers = [number_text(value) for value in (xmin, ymin, width, height)]
    area = number_text(exact(float(width) * float(height)))
    return f'"area": {area}, "bbox": [{", ".join(numbers)}]'


def _entries(root: Mapping[str, object], key: str) -> Iterable[tuple[int, Mapping[str, object]]]:
    """Return the objects of a list by their numbers from 1; {} for what is no object."""
    return ((n, json_object(entry)) for n, entry in enumerate(json_list(root.get(key)), start=1))


def _key(value: object) -> _Key:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
