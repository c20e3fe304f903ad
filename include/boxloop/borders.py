"""What is asked of names and places that people, files and forms bring in. Pure.

docs/security.md says who may bring what.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from boxloop.storage import absolute, is_remote
from boxloop.uris import is_foreign

if TYPE_CHECKING:
    import pandas as pd

LONGEST_NAME = 200
"""Characters of a class's name."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOGIN = re.compile(r"://[^\s/]+@")
# from the beginning of a word, so that each is looked at once; what closes it is left
_QUERY = re.compile(r"(?<!\S)((?>\S*?://)[^\s?#]*)(\?|#(?=\S*=))\S*[^\s'\"`,;:.)\]}>]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def check_experiment_id(experiment_id: str) -> None:
    """Raise ValueError unless an id is one folder's name, on any system."""
    is_fine = 0 < len(experiment_id.encode(errors="replace")) <= LONGEST_NAME
    if not is_fine or has_control(experiment_id) or re.search(r"^[.~-]|[/\\:]", experiment_id):
        raise ValueError(
            f"experiment id {experiment_id!r:.220} must be a folder's name: up to {LONGEST_NAME} "
            "bytes, no slash, colon or control character, and no dot or dash at its beginning"
        )


def has_control(text: str) -> bool:
    """Whether a name has what could be taken for a line or an order to a terminal."""
    return _CONTROL.search(text) is not None


def leads_out(name: str) -> bool:
    """Whether a name below a folder, as buckets may have it, is no path of a file there."""
    parts = name.split("/")
    return not {"", ".", ".."}.isdisjoint(parts)


def is_class_name(text: str) -> bool:
    """Whether a class may be called so."""
    return len(text) <= LONGEST_NAME and not has_control(text)


def is_below(uri: str, folder_uri: str) -> bool:
    """Whether an object lies in a folder, whatever links lead to it or dots are in its path."""
    if is_foreign(uri):
        return False
    where = absolute(uri)
    if is_remote(where) and not {".", ".."}.isdisjoint(where.split("/")):
        return False
    return where.startswith(absolute(folder_uri).rstrip("/") + "/")


def masked(text: str) -> str:
    """Return a text whose addresses have no login, query or fragment that may be a secret."""
    return _QUERY.sub(r"\1\2***", _LOGIN.sub("://***@", text))


def spreadsheet_text(text: str) -> str:
    """Return a cell that a spreadsheet takes for text: a formula in a file's name is not run.

    Source: OWASP, "CSV Injection".
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def spreadsheet_csv(table: pd.DataFrame) -> bytes:
    """Return a table of texts as CSV for people, who open it in a spreadsheet."""
    data: str = table.map(spreadsheet_text).to_csv(index=False)
    return data.encode(errors="backslashreplace")


def plain_text(cell: str) -> str:
    """Return what `spreadsheet_text` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
