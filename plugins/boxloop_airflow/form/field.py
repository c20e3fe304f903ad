"""A field of the trigger form that may be left empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import Param


@dataclass(frozen=True)
class Field:
    """What people see of a field, and the setting of an experiment that it overrides."""

    title: str
    setting: str
    """Dotted name; "" where the field is no setting."""
    description: str
    """With the unit, an example, and what a larger value costs."""
    schema: Mapping[str, Any]
    """Words of JSON schema, `type` among them."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Choice to value, where the setting is not called as people read it."""
    scale: float = 1
    """How many units of the setting one of the field is."""

    def param(self, section: str) -> Param:
        """Return the field as Airflow is told of it, below a heading."""
        unit = ", in seconds there" if self.scale != 1 else ""
        setting = f" Setting: {self.setting}{unit}." if self.setting else ""
        return Param(
            None,
            title=self.title,
            section=section,
            description=f"{self.description}{setting}",
            **self.schema,
        )

    def value(self, given: Any) -> Any:
        """Return what was filled in, in the terms of the setting; None where nothing was."""
        if given is None or given == "":
            return None
        return self.values[given] if self.values else given * self.scale


def text(title: str, setting: str, description: str, **schema: Any) -> Field:
    """Return a field for text."""
    return Field(title, setting, description, {"type": ["null", "string"], **schema})


def whole(title: str, setting: str, low: int, high: int, description: str) -> Field:
    """Return a field for a whole number within bounds, both allowed."""
    schema = {"type": ["null", "integer"], "minimum": low, "maximum": high}
    return Field(title, setting, description, schema)


def number(
    title: str, setting: str, low: float, high: float, description: str, *, scale: float = 1
) -> Field:
    """Return a field for a number within bounds, both allowed."""
    schema = {"type": ["null", "number"], "minimum": low, "maximum": high}
    return Field(title, setting, description, schema, scale=scale)


def choice(
    title: str,
    setting: str,
    words: Mapping[str, str],
    description: str,
    values: Mapping[str, Any] | None = None,
) -> Field:
    """Return a field with choices.

    Args:
        title: what people see.
        setting: that it overrides.
        words: choice to what people read.
        description: of the field.
        values: choice to value; by default a choice is the value.
    """
    shown = {"null": "as in the experiment", **words}
    schema = {"type": ["null", "string"], "enum": [None, *words], "values_display": shown}
    return Field(title, setting, description, schema, values or {name: name for name in words})
