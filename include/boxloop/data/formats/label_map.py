"""Label maps: class name <-> id, in the text form of TensorFlow's detection tools."""

from __future__ import annotations

import re
from collections.abc import Sequence

_STRING = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
_COMMENT = re.compile(rf"({_STRING})|#[^\n]*")
_ITEM = re.compile(rf"item\s*:?\s*\{{((?:[^{{}}'\"]|{_STRING})*)\}}")
_FIELD = re.compile(rf"(\w+)\s*:\s*(-?\w+|{_STRING})")
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"t": b"\t", b"r": b"\r"}


def build_label_map(class_names: Sequence[str]) -> str:
    """Return a label map with ids 1, 2, ... in the order given; 0 is background.

    Raises:
        ValueError: if a name comes twice.
    """
    if len(set(class_names)) != len(class_names):
        raise ValueError(f"a class name comes twice in {list(class_names)}")
    return "".join(
        f"item {{\n  id: {number}\n  name: '{_escape(name)}'\n}}\n"
        for number, name in enumerate(class_names, start=1)
    )


def parse_label_map(text: str) -> dict[int, str]:
    """Return id -> class name, in the file's order; fields other than id and name are skipped.

    Raises:
        ValueError: if an item has no id of at least 1 or no name, an id comes twice, or there is
            something between the items.
    """
    text = _COMMENT.sub(lambda match: match[1] or "", text)
    if rest := _ITEM.sub("", text).strip():
        raise ValueError(f"label map: expected item {{ id: 1 name: 'x' }}, found {rest[:40]!r}")
    names: dict[int, str] = {}
    for position, body in enumerate(_ITEM.findall(text), start=1):
        number, name = _parse_item(body, f"label map: item {position}")
        if number in names:
            raise ValueError(f"label map: id {number} is {names[number]!r} and {name!r}")
        names[number] = name
    return names


def _parse_item(body: str, where: str) -> tuple[int, str]:
    fields = dict(_FIELD.findall(body))
    number, name = fields.get("id", ""), fields.get("name", "")
    if not re.fullmatch(r"[1-9][0-9]*", number):
        raise ValueError(f"{where}: needs an id of at least 1, got {number or 'none'}")
    if len(name) < 3 or name[0] not in "'\"":
        raise ValueError(f"{where}: needs a quoted name, got {name or 'none'}")
    return int(number), _unescape(name[1:-1])


def _escape(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


def _unescape(text: str) -> str:
    """Undo backslashes; octal ones are bytes of UTF-8, as protobuf prints them."""
    return _ESCAPE.sub(lambda match: _character(match[1]), text.encode()).decode()


def _character(escaped: bytes) -> bytes:
    if escaped.isdigit():
        return bytes([int(escaped, 8) & 0xFF])
    return _ESCAPED.get(escaped, escaped)
