"""Text, numbers, XML and JSON out of bytes that nobody vouches for.

Whatever the bytes are, these functions return quickly, fetch nothing, expand nothing, and raise
nothing but ValueError.
"""

from __future__ import annotations

import json
import re
from decimal import Context, Decimal

from lxml import etree

LARGEST = 10**9
"""No coordinate or size is beyond this, so that no arithmetic on boxes overflows."""
EXACT = Context(prec=2_000)
"""Decimal arithmetic that never rounds: sums of floats have up to 350 digits."""

_PARSER = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
)
_LONGEST = 500  # characters of a number: keeps the pattern below from being slow
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)


def parse_number(text: str | None) -> Decimal | None:
    """Return a decimal number exactly; None if it is none, not finite, or beyond LARGEST."""
    text = (text or "").strip()
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return number if -LARGEST <= number <= LARGEST else None


def parse_size(text: str | None) -> int | None:
    """Return a width, a height or a depth; None if it is no whole number from 1 to LARGEST."""
    text = (text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        return None
    return int(text) if 1 <= int(text) <= LARGEST else None


def exact(value: float) -> Decimal:
    """Return the shortest decimal number that reads as this float."""
    return Decimal(repr(float(value)))


def number_text(number: Decimal) -> str:
    """Return a number as text that XML, CSV and JSON readers take: whole ones without a point."""
    return str(int(number)) if number == int(number) else str(EXACT.normalize(number))


def decode_text(data: bytes, where: str) -> str:
    """Return text less its byte order mark, which also tells UTF-16 (Excel's "Unicode text").

    Raises:
        ValueError: if it is neither.
    """
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: is not UTF-8 text ({error}); save it as UTF-8") from error


def parse_xml(data: bytes, where: str, tag: str) -> etree._Element:
    """Return the root of an XML file.

    Args:
        data: the file's bytes.
        where: name of the file, for messages.
        tag: what the root must be called.

    Raises:
        ValueError: if it is no XML, has another root, or declares a document type.
    """
    try:
        root = etree.fromstring(data, _PARSER)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"{where}: is not well-formed XML: {error.msg}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise ValueError(f"{where}: has a <!DOCTYPE>, which is not read; remove it")
    if root.tag != tag:
        raise ValueError(f"{where}: expected <{tag}>, found <{str(root.tag)[:40]}>")
    return root


def parse_json(data: bytes, where: str) -> object:
    """Return a JSON value; its fractions are Decimal, and numbers beyond reason are None.

    Raises:
        ValueError: if it is no JSON, not UTF-8, or nested too deep.
    """
    try:
        return json.loads(
            decode_text(data, where),
            parse_float=parse_number,
            parse_int=lambda text: int(text) if len(text) < 20 else None,
            parse_constant=lambda _: None,
        )
    except RecursionError as error:
        raise ValueError(f"{where}: is nested too deep; is it the right file?") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: is not JSON: {error}; export it again") from error


def json_number(value: object) -> Decimal | None:
    """Return a number of a JSON file exactly; None if it is none or beyond LARGEST."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return Decimal(value)
    return value if isinstance(value, Decimal) else None


def json_size(value: object) -> int | None:
    """Return a width or a height; None if it is no whole number from 1 to LARGEST."""
    number = json_number(value)
    return int(number) if number and number >= 1 and number == int(number) else None


def json_text(value: object) -> str:
    """Return a text less spaces around it; empty if it is none, or no Unicode."""
    try:
        return value.strip() if isinstance(value, str) and value.encode() else ""
    except UnicodeEncodeError:  # half a surrogate pair, as "\ud800"
        return ""


def json_object(value: object) -> dict[str, object]:
    """Return a JSON object; empty if the value is none."""
    return value if isinstance(value, dict) else {}


def json_list(value: object) -> list[object]:
    """Return a JSON list; empty if the value is none."""
    return value if isinstance(value, list) else []


def json_shown(value: object) -> str:
    """Return a value for a message; short, however large the value is."""
    if isinstance(value, int | str | Decimal) and not isinstance(value, bool):
        return f"{value!r:.60}" if isinstance(value, str) else f"{value!s:.60}"
    return "none" if value is None else f"a {type(value).__name__}"
