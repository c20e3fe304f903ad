"""Settings out of YAML that somebody else may have written: plain values, and not many of them."""

from __future__ import annotations

from typing import Any

import yaml

LARGEST = 2**18
"""Bytes of a file of settings; PyYAML takes a few seconds for as many."""
_MOST_DIGITS = 40  # of a whole number: more would overflow a float, and cost quadratic time


def parse_yaml(data: bytes | str, where: str) -> Any:
    """Return the value in a YAML text: numbers, texts, lists and mappings alone.

    Aliases are refused: with them a few lines stand for more values than any memory holds.

    Args:
        data: the text; bytes are UTF-8 or UTF-16.
        where: what is read, for messages.

    Raises:
        ValueError: if it is no YAML, has tags or aliases, or is too large or nested too deep.
    """
    if len(data) > LARGEST:
        raise ValueError(f"{where}: is larger than {LARGEST} bytes; is it the right file?")
    try:
        return yaml.load(data, Loader=_PlainLoader)
    except (yaml.YAMLError, RecursionError, OverflowError, ValueError) as error:
        raise ValueError(f"{where}: is not YAML that can be read: {_short(error)}") from error


def shown(value: object) -> str:
    """Return a value for a message: its beginning, however large it is."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, less what makes much of little."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            problem = f"found alias {event.anchor!r:.60}; write out what it stands for"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """Return a whole number of a length that people write."""
        if len(node.value) > _MOST_DIGITS:
            problem = f"found a number of {len(node.value)} characters"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return self.construct_yaml_int(node)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_number)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
