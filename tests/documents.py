"""What README.md and docs/*.md say that can be checked: commands, links, settings, messages."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
PROGRAMS = ("boxloop", "make", "python", "airflow", "tensorboard", "labelImg", "docker", "gcloud")
SHELL = ("cat", "cp", "curl", "export", "git", "pip", "rm", ".venv/bin/uv")
VARIABLE = re.compile(r"^[A-Z_]+=(?!=)")


class Command(NamedTuple):
    """A command in a document."""

    document: str
    line: int
    text: str
    """As it would be typed, without its comment; a text for the shell's `<<'END'` included."""
    is_inline: bool
    """Whether it stands within a sentence or a table, where its arguments may be left out."""

    @property
    def words(self) -> list[str]:
        """Its words, without variables before the program, and without `.venv/bin/`."""
        words = [word.strip("'\"") for word in self.text.splitlines()[0].split()]
        while words and VARIABLE.match(words[0]):
            words.pop(0)
        return [words[0].removeprefix(".venv/bin/"), *words[1:]] if words else []

    @property
    def place(self) -> str:
        """Where it stands, and what it is: the name of its test."""
        return f"{self.document}:{self.line} {' '.join(self.words)}"


def commands(path: Path) -> list[Command]:
    """Return the commands in the blocks of a document, then those in its sentences."""
    name = path.name
    found = [Command(name, line, text, False) for line, text in _blocks(path) if _is_command(text)]
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.startswith("    "):
            for text in re.findall(r"`([^`]+)`", line):
                if re.match(r"(\.venv/bin/)?(boxloop|make|airflow) [a-z-]|SEED=2 make", text):
                    found.append(Command(name, number, text, True))
    return found


def _blocks(path: Path) -> Iterator[tuple[int, str]]:
    """Give the lines of code with their numbers; one that goes on below is one line."""
    lines = path.read_text().splitlines()
    number = 0
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if not line.startswith("    "):
            continue
        text = _without_comment(line[4:])
        if end := re.search(r"<<'(\w+)'", text):
            while lines[number][4:] != end[1]:
                text += "\n" + lines[number][4:]
                number += 1
            text += f"\n{end[1]}"
            number += 1
        while text.endswith("\\"):
            text = text[:-1].rstrip() + " " + _without_comment(lines[number].strip())
            number += 1
        yield start + 1, text


def _without_comment(line: str) -> str:
    return re.sub(r"\s+#\s.*$", "", line).rstrip()


def _is_command(text: str) -> bool:
    words = text.split()
    while words and VARIABLE.match(words[0]):
        words.pop(0)
    if not words:
        return False
    first = words[0].removeprefix(".venv/bin/")
    return (first in PROGRAMS or words[0] in SHELL) and len(words) > 1


def links(path: Path) -> list[str]:
    """Return where a document leads to in this project, pictures included."""
    found = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    return [target for target in found if "://" not in target]


def headings(path: Path) -> set[str]:
    """Return the anchors of a document, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", line).lower()) for line in lines]
    return {line.strip().replace(" ", "-") for line in plain}
