"""Text of strangers on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with control characters written out, so that a terminal only shows it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return text of several lines, each as `printable` has it."""
    return "\n".join(printable(line) for line in text.split("\n"))
