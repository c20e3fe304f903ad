"""`boxloop --help` and the help of each command, to the last option."""

import argparse
import shlex
from collections.abc import Iterator

import pytest

from boxloop.cli import GROUPS, build_parser
from boxloop.cli_help import grouped, told


def parsers(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Give every parser below one, with its command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield f"{name} {word}".strip(), child
                yield from parsers(child, f"{name} {word}".strip())


COMMANDS = dict(parsers(build_parser()))


def examples(parser: argparse.ArgumentParser) -> list[str]:
    lines = (parser.epilog or "").partition("examples:\n")[2].splitlines()
    return [line.strip() for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_can_be_parsed(name: str) -> None:
    found = examples(COMMANDS[name])
    assert 2 <= len(found) <= 3
    for line in found:
        assert line.startswith("boxloop ")
        assert name in line
        if not line.endswith("--help"):
            build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained(name: str) -> None:
    parser = COMMANDS[name]
    assert parser.description
    for action in parser._actions:
        assert action.help, f"{name}: {action.dest} is not explained"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_tells_its_default(name: str) -> None:
    for action in COMMANDS[name]._actions:
        is_choice = action.option_strings and not action.required
        is_switch = action.nargs == 0 and not str(action.help).count("(default")
        if is_choice and action.dest not in ("help", "set") and not is_switch:
            assert "(default: " in str(action.help), f"{name} {action.option_strings}"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_of_help_is_too_long(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    long = [line for line in COMMANDS[name].format_help().splitlines() if len(line) > 100]
    assert long == []


def test_all_commands_are_listed_in_their_groups() -> None:
    said = build_parser().format_help()
    for name in COMMANDS:
        if " " not in name:
            assert f"\n  {name} " in said
    assert all(f"{heading}:" in said for heading in GROUPS)


def test_a_command_without_a_group_is_listed_under_more() -> None:
    parser = argparse.ArgumentParser(**told("Do a thing. And more of it.", "do", "do it"))
    said = grouped({"do": parser, "new": parser}, {"Work": ("do", "gone"), "Play": ("gone",)})
    assert said.splitlines() == [
        "Work:",
        "  do          Do a thing",
        "",
        "More:",
        "  new         Do a thing",
    ]
