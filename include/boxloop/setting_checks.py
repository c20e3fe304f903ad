"""Checks of settings, which say what is wrong. Pure."""

from __future__ import annotations


def check(is_fine: bool, message: str) -> None:
    """Raise ValueError with this message unless all is fine."""
    if not is_fine:
        raise ValueError(message)


def check_option(name: str, value: str, options: tuple[str, ...]) -> None:
    """Raise ValueError unless a setting has one of these values."""
    check(
        value in options,
        f"{name} must be {', '.join(options[:-1])} or {options[-1]}, got {value!r}",
    )
