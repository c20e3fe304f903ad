"""docker-compose.yaml as Docker Compose reads it: merges, variables, profiles."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
COMPOSE = PROJECT / "docker-compose.yaml"
VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-?+])(?P<other>[^}]*))?\})"
)


@dataclass(frozen=True)
class Service:
    """A service, its variables filled in."""

    name: str
    text: Mapping[str, Any]
    """As in the file."""
    environment: Mapping[str, str]

    @property
    def command(self) -> list[str]:
        return [str(word) for word in self.text["command"]]

    @property
    def check(self) -> list[str]:
        """The command of its health check, "" where there is none."""
        how, *words = self.text["healthcheck"].get("test", ["NONE"])
        command: list[str] = {"CMD": words, "CMD-SHELL": ["sh", "-c", *words], "NONE": []}[how]
        return command

    @property
    def waits_for(self) -> dict[str, str]:
        """The services that it waits for, and for what of each."""
        return {name: how["condition"] for name, how in self.text.get("depends_on", {}).items()}


def read(path: Path = COMPOSE) -> Any:
    """Return the file with its merges done, variables as they stand."""
    return yaml.safe_load(path.read_text())


def services(
    variables: Mapping[str, str], profiles: Collection[str], path: Path = COMPOSE
) -> dict[str, Service]:
    """Return the services that `docker compose up` starts, by name."""
    found = read(path)["services"]
    chosen = {
        name: fill(text, variables)
        for name, text in found.items()
        if not text.get("profiles") or set(text["profiles"]) & set(profiles)
    }
    return {
        name: Service(name, text, environment(text.get("environment", {}), variables))
        for name, text in chosen.items()
    }


def environment(given: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment; a name without a value has that of the variables, if any."""
    known = {name: variables.get(name) if value is None else value for name, value in given.items()}
    return {name: str(value) for name, value in known.items() if value is not None}


def fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a value of the file with its variables filled in, `$$` as `$`."""
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _variable(match, variables), value)
    if isinstance(value, Mapping):
        return {name: fill(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [fill(each, variables) for each in value]
    return value


def env_file(path: Path) -> dict[str, str]:
    """Return the variables of an env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.partition("=") for line in lines]
    return {name: value.strip("'") if value[:1] == "'" else value for name, _, value in pairs}


def _variable(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    value = variables.get(match["name"] or match["plain"])
    how, other = match["how"] or "-", match["other"] or ""
    is_given = bool(value) if how[0] == ":" else value is not None
    if how[-1] == "+":
        return other if is_given else ""
    if how[-1] == "?" and not is_given:
        raise ValueError(f"{match['name']}: {other}")
    return str(value) if is_given else other
