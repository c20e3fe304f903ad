"""Where things are now that lay elsewhere when they were written down.

Artifacts name each other, and images, by whole addresses. A run, a library or a champion that was
copied to another place, or whose images were, has a file that says which beginnings of addresses
have become which. What was written stays as it is, so all digests stay right; addresses are put
right when they are read. Nothing else may read them.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Sequence
from typing import Any

from boxloop import storage

Rules = Sequence[tuple[str, str]]
"""What an address began with, and what it begins with now; the oldest first."""

FORMAT = 1
"""Of the file; raised when an older Boxloop could not read it."""
FILE = "moved.json"
SECONDS = 10
"""How long what a bucket says is taken to be so."""
KINDS = ("experiments", "nightly", "champions")
_OWNER = re.compile(rf"(.+/(?:{'|'.join(KINDS)})/[^/]+)(?:/|$)")


def here(uri: str, place: str) -> str:
    """Return where something is now.

    Args:
        uri: where it was when that was written down.
        place: where it is written down: below a run, a library or a champion, or such a folder.
    """
    return apply(uri, rules(place))


def value_here(value: Any, place: str) -> Any:
    """Return a JSON value with every address in it as `here` has it."""
    found = rules(place)
    return _walk(value, found) if found else value


def rules(place: str) -> Rules:
    """Return what has moved of the run, the library or the champion at a place."""
    owner = _OWNER.match(place)
    if owner is None:
        return ()
    if storage.is_remote(place):
        return _kept(owner[1], int(time.monotonic() / SECONDS))
    return _read(owner[1])


def apply(uri: str, found: Rules) -> str:
    """Return where something is now, by the rules that `rules` returned."""
    for old, new in found:
        if uri == old or uri.startswith(f"{old}/"):
            uri = new + uri.removeprefix(old)
    return uri


def add_rule(owner_uri: str, old: str, new: str) -> None:
    """Write down that what lay at one place lies at another; the same again changes nothing.

    Args:
        owner_uri: folder of a run, a library or a champion.
        old: what addresses began with: a folder, local or gs://.
        new: what they begin with now.
    """
    known = [*_read(owner_uri)]
    if (old, new) not in known[-1:]:
        said = [{"from": before, "to": after} for before, after in [*known, (old, new)]]
        storage.write_json(f"{owner_uri}/{FILE}", {"format": FORMAT, "moved": said})
    _kept.cache_clear()


def _read(owner_uri: str) -> Rules:
    uri = f"{owner_uri}/{FILE}"
    if not storage.exists(uri):
        return ()
    value = storage.read_json(uri)
    if value.get("format") != FORMAT:
        raise ValueError(f"{uri} has format {value.get('format')!r}: bring Boxloop up to date")
    return tuple((str(one["from"]), str(one["to"])) for one in value["moved"])


@functools.lru_cache(maxsize=256)
def _kept(owner_uri: str, moment: int) -> Rules:
    """Read the rules, once for each moment."""
    return _read(owner_uri)


def _walk(value: Any, found: Rules) -> Any:
    if isinstance(value, dict):
        return {name: _walk(each, found) for name, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, found) for each in value]
    return apply(value, found) if isinstance(value, str) else value
