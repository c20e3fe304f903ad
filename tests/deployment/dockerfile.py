"""Dockerfiles as far as tests need them: their stages, and what each of these says."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]


@dataclass
class Stage:
    """A stage of a Dockerfile."""

    name: str
    base: str
    """An image, or a stage before it."""
    steps: list[tuple[str, str]] = field(default_factory=list)
    """Instruction and what follows it."""

    def all(self, instruction: str) -> list[str]:
        """Return what follows each instruction of a kind."""
        return [text for name, text in self.steps if name == instruction]


def stages(path: Path) -> dict[str, Stage]:
    """Return the stages of a Dockerfile, by name, in their order."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = Stage(name, base)
        elif instruction:
            list(found.values())[-1].steps.append((instruction, rest.strip()))
    return found


def lineage(name: str, found: dict[str, Stage]) -> list[Stage]:
    """Return a stage and those it is built on, the first one first."""
    stage = found[name]
    return [*(lineage(stage.base, found) if stage.base in found else []), stage]


def environment(name: str, found: dict[str, Stage]) -> dict[str, str]:
    """Return the variables that an image sets."""
    texts = [text for stage in lineage(name, found) for text in stage.all("ENV")]
    pairs = [word.partition("=") for text in texts for word in shlex.split(text)]
    return {name: value for name, _, value in pairs}


def built(build: Any) -> dict[str, str]:
    """Return the variables of the image that a service of the compose file builds, if it does."""
    if build is None:
        return {}
    found = stages(PROJECT / build["dockerfile"])
    return environment(build.get("target", list(found)[-1]), found)
