"""YOLO's text: a file for each image, centre and size of boxes as shares of the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import PurePosixPath

import yaml

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.draft import Draft, finish
from boxloop.data.formats.untrusted import (
    EXACT,
    decode_text,
    exact,
    number_text,
    parse_number,
)

_LONGEST_YAML = 500_000  # bytes: 20,000 names; PyYAML takes seconds for that
_HALF = Decimal("0.5")


def parse_yolo(data: bytes, where: str, class_names: Sequence[str]) -> Annotation:
    """Return the annotation in lines of `class x_center y_center width height`.

    A line of `class x1 y1 x2 y2 x3 y3 ...`, a polygon, becomes the box around it.

    Args:
        data: the file's bytes. No line at all is an image without boxes.
        where: name of the file; its stem is the image's.
        class_names: what the numbers mean, from 0.

    Returns:
        Boxes are relative. Findings are bad_row and bad_number for a line.

    Raises:
        ValueError: if it is not UTF-8, or has lines and there are no class names.
    """
    lines = decode_text(data, where).splitlines()
    if not class_names and any(line.strip() for line in lines):
        raise ValueError(f"{where}: its classes have no names; add data.yaml or classes.txt")
    draft = Draft(PurePosixPath(where).stem, is_relative=True)
    for number, line in enumerate(lines, start=1):
        if fields := line.split():
            draft.add(_parse_line(fields, class_names, f"{where}: row {number}"))
    return finish([draft], [])[0]


def build_yolo(boxes: Iterable[Box], class_names: Sequence[str]) -> bytes:
    """Return a YOLO file that `parse_yolo` reads back exactly.

    Args:
        boxes: relative, as shares of the image's width and height.
        class_names: of all classes.

    Raises:
        ValueError: if a box is of another class.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    lines = []
    for box in boxes:
        if box.class_name not in numbers:
            raise ValueError(f"{box.class_name!r} is none of the classes; add it to them")
        measures = (number_text(number) for number in _measure(box))
        lines.append(f"{numbers[box.class_name]} {' '.join(measures)}\n")
    return "".join(lines).encode()


def parse_data_yaml(data: bytes, where: str) -> list[str]:
    """Return the class names of a data.yaml, by their numbers from 0.

    Args:
        data: the file's bytes, with `names` as a list or as a mapping from number to name.
        where: name of the file, for messages.

    Raises:
        ValueError: if it is no YAML, has no such names, or numbers that are not 0, 1, 2, ...
    """
    names = _find_names(_compose_yaml(data, where))
    if isinstance(names, yaml.SequenceNode):
        pairs = list(enumerate(names.value))
    elif isinstance(names, yaml.MappingNode):
        pairs = [(_class_number(key), value) for key, value in names.value]
        pairs.sort(key=lambda pair: pair[0])
    else:
        raise ValueError(f"{where}: has no list of names; add `names: [cat, dog]`")
    found = []
    for expected, (number, node) in enumerate(pairs):
        if number != expected:
            raise ValueError(f"{where}: names has no number {expected}; number classes from 0")
        if not isinstance(node, yaml.ScalarNode) or not (name := node.value.strip()):
            raise ValueError(f"{where}: class {number} has no name; give it one")
        found.append(name)
    return found


def build_data_yaml(class_names: Sequence[str]) -> bytes:
    """Return a data.yaml that `parse_data_yaml` reads back exactly."""
    content = {"nc": len(class_names), "names": list(class_names)}
    return yaml.safe_dump(content, sort_keys=False).encode()


def parse_classes_txt(data: bytes, where: str) -> list[str]:
    """Return the class names of a classes.txt, one a line, by their numbers from 0.

    Raises:
        ValueError: if it is not UTF-8, or a line between others is empty.
    """
    names = [line.strip() for line in decode_text(data, where).rstrip().split("\n")]
    if names == [""]:
        return []
    if "" in names:
        raise ValueError(f"{where}: row {names.index('') + 1} is empty; write a class name there")
    return names


def build_classes_txt(class_names: Iterable[str]) -> bytes:
    """Return a classes.txt that `parse_classes_txt` reads back exactly."""
    return "".join(f"{name}\n" for name in class_names).encode()


def _parse_line(fields: Sequence[str], class_names: Sequence[str], where: str) -> Box | Finding:
    kind = parse_number(fields[0])
    if kind is None or kind != int(kind) or not 0 <= kind < len(class_names):
        detail = f"class {fields[0][:60]!r} is none of 0 to {len(class_names) - 1}"
        return Finding("bad_row", where, detail)
    if len(fields) < 5 or len(fields) % 2 == 0:
        detail = f"has {len(fields)} columns, a box has 5 and a polygon 7, 9, 11, ..."
        return Finding("bad_row", where, detail)
    numbers = []
    for field in fields[1:]:
        if (number := parse_number(field)) is None:
            return Finding("bad_number", where, f"{field[:60]!r} is not a number")
        numbers.append(number)
    name = class_names[int(kind)]
    if len(numbers) > 4:
        xs, ys = numbers[::2], numbers[1::2]
        return Box(name, float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
    return _box(name, *numbers)


def _box(name: str, x: Decimal, y: Decimal, width: Decimal, height: Decimal) -> Box:
    # decimal numbers, since 0.3 - 0.2 / 2 is not 0.2 in floats
    right, down = EXACT.multiply(width, _HALF), EXACT.multiply(height, _HALF)
    low = EXACT.subtract(x, right), EXACT.subtract(y, down)
    high = EXACT.add(x, right), EXACT.add(y, down)
    return Box(name, float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _measure(box: Box) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return a box's centre and size; exact, so that its corners come back."""
    xmin, ymin, xmax, ymax = (exact(value) for value in box.xyxy)
    x, y = (
        EXACT.multiply(EXACT.add(xmin, xmax), _HALF),
        EXACT.multiply(EXACT.add(ymin, ymax), _HALF),
    )
    return x, y, EXACT.subtract(xmax, xmin), EXACT.subtract(ymax, ymin)


def _compose_yaml(data: bytes, where: str) -> yaml.Node | None:
    """Return the tree of a YAML file as it stands: nothing constructed, no alias expanded."""
    if len(data) > _LONGEST_YAML:
        raise ValueError(f"{where}: is larger than {_LONGEST_YAML} bytes; is it the right file?")
    try:
        node: yaml.Node | None = yaml.compose(decode_text(data, where), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{where}: is not YAML that can be read: {reason}") from error
    return node


def _find_names(root: yaml.Node | None) -> yaml.Node | None:
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == "names"), None)


def _class_number(node: yaml.Node) -> int:
    number = parse_number(node.value) if isinstance(node, yaml.ScalarNode) else None
    return int(number) if number is not None else -1
