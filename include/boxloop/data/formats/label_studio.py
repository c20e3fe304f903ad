"""Label Studio's JSON export: boxes as percent of the image's width and height."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from urllib.parse import quote, unquote

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

_PERCENT = Decimal("0.01")
_UPLOAD_PREFIX = re.compile(r"\A[0-9a-f]{8}-(?!(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\Z)")  # no UUID
_SIZES = ("x", "y", "width", "height")


def parse_label_studio(data: bytes, where: str) -> list[Annotation]:
    """Return the annotations in a Label Studio export; a choice is the image-level label.

    Of several annotations of a task, the first that was not cancelled is used.

    Args:
        data: the file's bytes: a list of tasks with data.image and annotations.
        where: name of the file, for messages.

    Returns:
        One for each task with an image, in their order; boxes are relative. An image's name is
        the last part of its path, less the prefix of 8 digits that an upload gets. Findings are
        bad_number and no_name for a box; bad_row for a rotated box, a shape that is no box, or a
        task without an image; annotated_twice for a task.

    Raises:
        ValueError: if it is no JSON, no list of tasks, or none of them has an image.
    """
    tasks = parse_json(data, where)
    if not isinstance(tasks, list):
        raise ValueError(f"{where}: is no list of tasks; export it as JSON from Label Studio")
    drafts: list[Draft] = []
    strays: list[Finding] = []
    for number, entry in enumerate(tasks, start=1):
        task = json_object(entry)
        name = _image_name(json_text(json_object(task.get("data")).get("image")))
        if name:
            drafts.append(_parse_task(task, name, f"{where}: task {number}"))
        else:
            strays.append(Finding("bad_row", f"{where}: task {number}", "has no data.image"))
    return finish(drafts, strays)


def answered_images(data: bytes, where: str) -> set[str]:
    """Return the images whose task has an annotation that was not cancelled, if an empty one.

    Raises:
        ValueError: if it is no JSON.
    """
    tasks = [json_object(entry) for entry in json_list(parse_json(data, where))]
    answered = (task for task in tasks if _kept(task))
    return {_image_name(json_text(json_object(task.get("data")).get("image"))) for task in answered}


def build_label_studio(annotations: Iterable[Annotation], *, images: str | None = None) -> bytes:
    """Return an export that `parse_label_studio` reads back exactly, less depths.

    Args:
        annotations: with relative boxes, and names of images without folders.
        images: the address of their folder, such as `/data/local-files/?d=images`; by default
            they were uploaded.

    Raises:
        ValueError: if boxes are not relative.
    """
    tasks = []
    for number, annotation in enumerate(annotations, start=1):
        if annotation.boxes and not annotation.is_relative:
            raise ValueError(f"{annotation.image}: its boxes are in pixels, not shares")
        results = [_build_box(box, annotation) for box in annotation.boxes]
        if annotation.image_label is not None:
            value = json.dumps({"choices": [annotation.image_label]}, ensure_ascii=False)
            names = '"from_name": "choice", "to_name": "image"'
            results.append(f'{{"type": "choices", {names}, {_size(annotation)}, "value": {value}}}')
        name = quote(annotation.image, safe="")
        upload = f"/data/upload/1/{zlib.crc32(annotation.image.encode()):08x}-{name}"
        path = f"{images}/{name}" if images else upload
        tasks.append(
            f'{{"id": {number}, "data": {{"image": {json.dumps(path)}}}, '
            f'"annotations": [{{"result": [{", ".join(results)}]}}]}}'
        )
    return ("[\n" + ",\n".join(tasks) + "\n]\n").encode()


def _parse_task(task: Mapping[str, object], name: str, where: str) -> Draft:
    draft = Draft(name, is_relative=True)
    kept = _kept(task)
    if len(kept) > 1:
        detail = f"{len(kept)} annotations of one image; the first is used"
        draft.add(Finding("annotated_twice", where, detail))
    results = json_list(kept[0].get("result")) if kept else []
    for number, entry in enumerate(results, start=1):
        _take_result(draft, json_object(entry), f"{where}: object {number}")
    return draft


def _kept(task: Mapping[str, object]) -> list[dict[str, object]]:
    annotations = map(json_object, json_list(task.get("annotations")))
    return [done for done in annotations if done.get("was_cancelled") is not True]


def _take_result(draft: Draft, result: Mapping[str, object], where: str) -> None:
    kind, value = json_text(result.get("type")), json_object(result.get("value"))
    draft.width = draft.width or json_size(result.get("original_width"))
    draft.height = draft.height or json_size(result.get("original_height"))
    if kind == "rectanglelabels":
        draft.add(_parse_box(value, where))
    elif kind == "choices" and "x" not in value:  # with x it is a choice about one box
        draft.image_label = draft.image_label or _first_text(value, "choices") or None
    elif kind.endswith("labels"):
        draft.add(Finding("not_a_box", where, f"{kind[:40]} is not read, only rectanglelabels are"))


def _parse_box(value: Mapping[str, object], where: str) -> Box | Finding:
    name = _first_text(value, "rectanglelabels")
    if not name:
        return Finding("no_name", where, "it has no label")
    if json_number(value.get("rotation", 0)) != 0:
        detail = f"is rotated by {json_shown(value.get('rotation'))} degrees; draw it upright"
        return Finding("not_a_box", where, detail)
    percents = []
    for key in _SIZES:
        number = json_number(value.get(key))
        if number is None:
            detail = f"{key} is {json_shown(value.get(key))}, not a number"
            return Finding("bad_number", where, detail)
        percents.append(number)
    x, y, width, height = percents
    corners = x, y, EXACT.add(x, width), EXACT.add(y, height)
    xmin, ymin, xmax, ymax = (float(EXACT.multiply(corner, _PERCENT)) for corner in corners)
    return Box(name, xmin, ymin, xmax, ymax)


def _first_text(value: Mapping[str, object], key: str) -> str:
    return next(filter(None, map(json_text, json_list(value.get(key)))), "")


def _image_name(address: str) -> str:
    """Return the name in a path, a URL, or a local file's `/data/local-files/?d=photos/a.jpg`."""
    before, _, query = address.partition("?")
    path = query[2:] if query.startswith("d=") else before
    return _UPLOAD_PREFIX.sub("", unquote(re.split(r"[/\\]", path)[-1]).strip())


def _build_box(box: Box, annotation: Annotation) -> str:
    xmin, ymin, xmax, ymax = (EXACT.multiply(exact(value), 100) for value in box.xyxy)
    sizes = xmin, ymin, EXACT.subtract(xmax, xmin), EXACT.subtract(ymax, ymin)
    numbers = (f'"{key}": {number_text(n)}' for key, n in zip(_SIZES, sizes, strict=True))
    label = json.dumps([box.class_name], ensure_ascii=False)
    value = f'{{{", ".join(numbers)}, "rotation": 0, "rectanglelabels": {label}}}'
    names = '"from_name": "label", "to_name": "image"'
    return f'{{"type": "rectanglelabels", {names}, {_size(annotation)}, "value": {value}}}'


def _size(annotation: Annotation) -> str:
    return (
        f'"original_width": {json.dumps(annotation.width)}, '
        f'"original_height": {json.dumps(annotation.height)}'
    )
