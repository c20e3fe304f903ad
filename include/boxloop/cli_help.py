"""How every command tells of itself: what it does, and examples that can be typed as they are."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from boxloop.experiment import default_root

WIDTH = 79
REST = "More"  # the group of commands that no group names


def told(description: str, *examples: str) -> dict[str, Any]:
    """Return the arguments by which a parser tells of its command.

    Args:
        description: what the command does, its first sentence on its own a summary.
        examples: command lines without `boxloop` in front.
    """
    lines = "\n".join(f"  boxloop {example}" for example in examples)
    return {
        "description": textwrap.fill(description, WIDTH),
        "epilog": f"examples:\n{lines}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the artifact root."""
    parser.add_argument(
        "--root",
        default=default_root(),
        help="artifact root: folder or gs://bucket/prefix (default: $BOXLOOP_ROOT, else .boxloop)",
    )


def grouped(commands: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> str:
    """Return the commands under their groups, each with the first sentence of its description.

    Args:
        commands: parsers by name, as the action of `add_subparsers` has them in `choices`.
        groups: heading to names; one that is not among the commands is left out.
    """
    named = {name for names in groups.values() for name in names}
    rest = [name for name in commands if name not in named]
    lines = []
    for heading, names in {**groups, REST: rest}.items():
        found = [name for name in names if name in commands]
        lines += [f"\n{heading}:", *(_line(name, commands[name]) for name in found)] * bool(found)
    return "\n".join(lines).strip()


def _line(name: str, parser: argparse.ArgumentParser) -> str:
    summary = " ".join((parser.description or "").split()).partition(". ")[0].rstrip(".")
    return textwrap.fill(f"  {name:<11} {summary}", WIDTH, subsequent_indent=" " * 14)
