"""A terminal: text of strangers and figures as it shows them, and who sits at it."""

from __future__ import annotations

import getpass

SOMEBODY = "a user without a name"


def printable(text: str) -> str:
    """Return text with control characters written out, so that a terminal only shows it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return text of several lines, each as `printable` has it."""
    return "\n".join(printable(line) for line in text.split("\n"))


def figure(value: float | None) -> str:
    """Return a share with three decimals, a dash where it is not known."""
    return "\N{EN DASH}" if value is None else f"{value:.3f}"


def login_name() -> str | None:
    """Return who is logged in, None for a user without a name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
