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


def read_bundle(folder: Path) -> dict[str, Any]:
    """Return a bundle's description, once every file is known to be the one that was exported.

    Raises:
        ValueError: if it is no bundle, a file is missing or altered, or the label map is of
            another model.
    """
    path = folder / SPEC
    if not path.is_file():
        raise ValueError(f"{folder} has no {SPEC}: it is no bundle of Boxloop's")
    bundle = _parse(path)
    for name, digest in bundle["files"].items():
        _check_file(folder, name, digest)
    _check_label_map(folder, bundle["classes"])
    return bundle


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


def _parse(path: Path) -> dict[str, Any]:
    try:
        bundle = json.loads(path.read_text("utf-8"))
        number = bundle.get("format")
        if number == FORMAT:  # another one may say other things
            Spec.of(bundle)
            _check_listed(bundle)
            return {**bundle, "files": dict(bundle["files"]), "classes": list(bundle["classes"])}
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged ({error}): copy the folder anew") from error
    raise ValueError(f"{path} has format {number}, {FORMAT} is needed: use the Boxloop it is from")


def _check_listed(bundle: dict[str, Any]) -> None:
    described = {name: value for name, value in bundle.items() if name != "digest"}
    if bundle["digest"] != _digest(described):
        raise ValueError("it is not as it was written")
    if missing := {"saved_model.pb", LABEL_MAP} - set(bundle["files"]):
        raise ValueError(f"it does not list {', '.join(sorted(missing))}")


def _digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _check_file(folder: Path, name: str, digest: str) -> None:
    path = Path(storage.safe_join(str(folder), name))
    if not path.is_file():
        raise ValueError(f"{path} is missing: copy the whole folder anew, or export again")
    if storage.digest(str(path)) != digest:
        raise ValueError(f"{path} is not the file that was exported: copy the folder anew")


def _check_label_map(folder: Path, classes: list[str]) -> None:
    path = folder / LABEL_MAP
    try:
        found = parse_label_map(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}): copy the folder anew") from error
    if found != dict(enumerate(classes, start=1)):
        raise ValueError(
            f"{path} names {_some(list(found.values()))}, the model knows {_some(classes)}: "
            "it is of another model"
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{len(names)} classes ({shown}{', ...' if len(names) > 3 else ''})"
