"""What a filled-in trigger form asks for, and what is wrong with it in the words of the form."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from typing import Any

from boxloop_airflow.form import FIELDS, OVERRIDES, PARAMS

SETTINGS_KEY = "experiment"
"""XCom of the task plan_rounds: every setting of the run."""
WRONG = (ValueError, FileNotFoundError, PermissionError)

log = logging.getLogger(__name__)


def plan(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Plan the rounds that a form asks for, and show every setting in the log and as an XCom.

    Args:
        context: of the task, as Airflow gives it.

    Returns:
        What `boxloop.steps.plan_rounds` returns.

    Raises:
        ValueError, FileNotFoundError, PermissionError: if a value is wrong; says in which field.
    """
    from boxloop import steps, storage
    from boxloop.artifacts import Run
    from boxloop.borders import masked
    from boxloop.yaml_text import parse_yaml

    params = context["params"]
    try:
        specs = steps.plan_rounds(**plan_arguments(params, context["run_id"]))
    except WRONG as error:
        kind = next(each for each in WRONG if isinstance(error, each))
        raise kind(masked(with_fields(str(error), params))) from None  # Airflow logs what is behind
    uri = Run(specs[0]["run_uri"]).experiment
    text = masked(storage.read_bytes(uri).decode())
    log.info("Every setting of this run, as written to %s:\n%s", uri, text)
    context["ti"].xcom_push(key=SETTINGS_KEY, value=parse_yaml(text, uri))
    return specs


def plan_arguments(params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Return the arguments of `boxloop.steps.plan_rounds` for a filled-in form.

    Raises:
        ValueError: if the further settings cannot be read, or contradict a field.
    """
    from boxloop.experiment import default_root

    return {
        "experiment_uri": params["experiment"],
        "root": params["artifact_root"] or default_root(),
        "experiment_id": params["experiment_id"] or slug(run_id),
        "overrides": overrides(params),
    }


def overrides(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the fields and the further settings ask for, by setting.

    Raises:
        ValueError: if a line is no setting, or contradicts another or a field; names both.
    """
    given = {OVERRIDES[name]: FIELDS[name].value(params[name]) for name in OVERRIDES}
    lines: dict[str, Any] = {}
    for number, name, value in _read_lines(params["settings"] or ""):
        if name in lines and lines[name] != value:
            raise ValueError(f"{_line(number)}: {name} has another value in a line above")
        for field, setting in OVERRIDES.items():
            is_same = (setting, given[setting]) == (name, value)
            is_below = f"{setting}.".startswith(f"{name}.")  # train={steps: 5} holds train.steps
            if given[setting] is not None and is_below and not is_same:
                raise ValueError(
                    f"{_line(number)}: {name}={value} contradicts {params[field]!r} in field "
                    f"{_name(field)}: empty that field, or take out the line"
                )
        lines[name] = value
    return given | lines


def with_fields(message: str, params: Mapping[str, Any]) -> str:
    """Return a message with the fields that it speaks of in front, as people see them.

    A field is spoken of by its setting, or by what was filled in.
    """
    if message.startswith("Field"):
        return message
    names = [_name(field) for field in PARAMS if _is_spoken_of(field, params[field], message)]
    if not names and (root := params["artifact_root"]) and root in message:
        names = [_name("artifact_root")]
    if not names:
        return message
    return f"Field{'s' if len(names) > 1 else ''} {' and '.join(names)}: {message}"


def slug(run_id: str) -> str:
    """Return a run id as a folder name: `manual__2026-11-22` as `manual-2026-11-22`."""
    plain = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    return plain or hashlib.sha256(run_id.encode()).hexdigest()[:8]


def _read_lines(text: str) -> list[tuple[int, str, Any]]:
    """Return number, name and value of each line that is a setting."""
    from boxloop.experiment import parse_setting

    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found.append((number, *parse_setting(line.strip())))
        except ValueError as error:
            raise ValueError(f"{_line(number)}: {error}") from error
    return found


def _is_spoken_of(field: str, value: Any, message: str) -> bool:
    setting = OVERRIDES.get(field, "")
    if setting and re.match(rf"(setting )?{re.escape(setting)}\b", message):
        return True
    if "." in setting and re.search(rf"(?<![\w.]){re.escape(setting)}(?!\w)", message):
        return True
    if field == "settings":
        names = [name for _, name, _ in _read_lines(value or "")]
        return any(_is_named(name, message) for name in names if name not in OVERRIDES.values())
    is_typed = (
        isinstance(value, str) and value.strip() and "values_display" not in PARAMS[field].schema
    )
    if not is_typed or (field == "experiment" and "/" not in value):
        return bool(is_typed) and _is_about(value, message)
    return bool(re.search(rf"(?<![\w./-]){re.escape(value)}(?![\w./-]*\w)", message))


def _is_about(experiment: str, message: str) -> bool:
    """Whether a message begins with an experiment's name: it may be a word like any other."""
    begins = rf"(there is no experiment )?{re.escape(experiment)}(?![\w./-]*\w)"
    return bool(re.match(begins, message))


def _is_named(setting: str, message: str) -> bool:
    if unknown := re.match(r"unknown setting ([\w.]*\w)", message):
        return f"{setting}.".startswith(f"{unknown[1]}.")
    if "." not in setting:
        return bool(re.match(rf"(setting )?{re.escape(setting)}(?![\w.]*\w)", message))
    return bool(re.search(rf"(?<![\w./]){re.escape(setting)}(?![\w.]*\w)", message))


def _name(field: str) -> str:
    """Return a field as people see it, with its setting."""
    setting = f" ({OVERRIDES[field]})" if field in OVERRIDES else ""
    return f'"{PARAMS[field].schema["title"]}"{setting}'


def _line(number: int) -> str:
    return f"Field {_name('settings')}, line {number}"
