"""The folder that an export makes: a model with all that is needed to use it, and its description.

bundle.json is written last and lists every file by its digest: a bundle that lacks one, or holds
another, is not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxloop import storage
from boxloop.data.formats.label_map import parse_label_map
from boxloop.inference.portable import SPEC, Spec

LABEL_MAP = "label_map.pbtxt"
METRICS, CARD = "metrics.json", "MODEL_CARD.md"
"""What is found out with a bundle and added to it later; they name its digest."""
_DAMAGED = (OSError, RecursionError, ValueError, KeyError, TypeError, AttributeError)
FORMAT = 1
"""Of bundle.json; raised when an older Boxloop could not read it."""


def write_bundle(folder: Path, description: Mapping[str, Any]) -> None:
    """Describe the files of a folder, which makes a bundle of it.

    Args:
        folder: with the model's files.
        description: everything but the list of files.
    """
    names = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (SPEC, METRICS, CARD)
    )
    files = {name: storage.digest(str(folder / name)) for name in names}
    described = {"format": FORMAT, **description, "files": files}
    storage.write_json(str(folder / SPEC), {**described, "digest": _digest(described)})


def read_bundle(folder: Path, digest: str | None = None, *, where: str = "") -> dict[str, Any]:
    """Return a bundle's description, once every file is known to be the one that was exported.

    Args:
        folder: the bundle.
        digest: that its description must have, where that is known: a bundle is code, and one
            that somebody else has put there is whole as well.
        where: the folder is a copy of, for messages.

    Raises:
        ValueError: if it is no bundle, or another one, a file is missing or altered, or the label
            map is of another model.
    """
    where = where.rstrip("/") or str(folder)
    path = folder / SPEC
    if not path.is_file():
        raise ValueError(why_none(where))
    bundle = parse_bundle(path.read_bytes(), f"{where}/{SPEC}")
    if digest not in (None, bundle["digest"]):
        raise ValueError(
            f"{where} is {bundle['digest']}, not {digest}: it was exported anew, or exchanged; "
            "restore a backup, export the round again, or name another model"
        )
    for name, expected in bundle["files"].items():
        _check_file(folder, name, expected, where)
    _check_label_map(folder, bundle["classes"], where)
    return bundle


def why_none(model_uri: str) -> str:
    """Return what is to be said of a folder without bundle.json: of one that gc removed, when."""
    try:
        removed = storage.read_json(f"{model_uri.rstrip('/').rpartition('/')[0]}/gc.json")
        date = removed["removed"]["bundles"]["at"][:10]
    except _DAMAGED:
        return f"{model_uri} has no bundle.json: it is no bundle of Boxloop's"
    return f"{model_uri} was removed by gc on {date}: name another round, or restore a backup"


def default_threshold(folder: Path) -> float | None:
    """Return the score above which detections are worth showing, None where nobody knows."""
    path = folder / METRICS
    if not path.is_file():
        return None
    try:
        metrics = json.loads(path.read_text("utf-8"))
        bundle = json.loads((folder / SPEC).read_text("utf-8"))
        threshold = float(metrics["operating"]["threshold"])
        return threshold if metrics["bundle_digest"] == bundle["digest"] else None
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged ({error}): copy the folder anew") from error


def parse_bundle(data: bytes, where: str) -> dict[str, Any]:
    """Return the description in a bundle.json, its own digest checked; no file of it is read.

    Args:
        data: its content.
        where: it is, for messages.

    Raises:
        ValueError: if it is damaged, or of another version of Boxloop.
    """
    try:
        bundle = json.loads(data.decode())
        number = bundle.get("format")
        if number == FORMAT:  # another one may say other things
            Spec.of(bundle)
            _check_listed(bundle)
            return {**bundle, "files": dict(bundle["files"]), "classes": list(bundle["classes"])}
    except _DAMAGED as error:
        raise ValueError(f"{where} is damaged ({error}): copy the folder anew") from error
    raise ValueError(f"{where} has format {number}, {FORMAT} is needed: use the Boxloop it is from")


def _check_listed(bundle: dict[str, Any]) -> None:
    described = {name: value for name, value in bundle.items() if name != "digest"}
    if bundle["digest"] != _digest(described):
        raise ValueError("it is not as it was written")
    if missing := {"saved_model.pb", LABEL_MAP} - set(bundle["files"]):
        raise ValueError(f"it does not list {', '.join(sorted(missing))}")


def _digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _check_file(folder: Path, name: str, digest: str, where: str) -> None:
    path = Path(storage.safe_join(str(folder), name))
    if not path.is_file():
        raise ValueError(f"{where}/{name} is missing: copy the whole folder anew, or export again")
    if storage.digest(str(path)) != digest:
        raise ValueError(f"{where}/{name} is not the file that was exported: copy the folder anew")


def _check_label_map(folder: Path, classes: list[str], where: str) -> None:
    where = f"{where}/{LABEL_MAP}"
    try:
        found = parse_label_map((folder / LABEL_MAP).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{where} cannot be read ({error}): copy the folder anew") from error
    if found != dict(enumerate(classes, start=1)):
        raise ValueError(
            f"{where} names {_some(list(found.values()))}, the model knows {_some(classes)}: "
            "it is of another model"
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{len(names)} classes ({shown}{', ...' if len(names) > 3 else ''})"
