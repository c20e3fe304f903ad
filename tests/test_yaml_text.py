import time
from typing import Any

import pytest

from boxloop.yaml_text import LARGEST, parse_yaml, shown

BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: 1\nb: [x, 2.5, yes, ~]", {"a": 1, "b": ["x", 2.5, True, None]}, id="all"),
        pytest.param("-" + "9" * 30, -(10**30 - 1), id="a long number"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_plain_values_are_read(text: str, value: Any) -> None:
    assert parse_yaml(text.encode(), "a.yaml") == parse_yaml(text, "a.yaml") == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(BOMB, "found alias 'a0'; write out", id="billion laughs"),
        pytest.param("a: &a {x: 1}\nb: {<<: *a}", "found alias 'a'", id="merge"),
        pytest.param("&a [*a]", "found alias 'a'", id="cycle"),
        pytest.param("!!python/object/apply:os.getcwd []", "could not determine", id="tag"),
        pytest.param("!!python/name:os.system", "could not determine", id="name"),
        pytest.param("[" * 50_000, "recursion|is not YAML", id="deep list"),
        pytest.param("a: " + "9" * 5000, "found a number of 5000", id="huge number"),
        pytest.param("a: " + "1:" * 5000 + "1", "found a number of", id="sexagesimal"),
        pytest.param("a: 2026-99-99", "month must be", id="no date"),
        pytest.param("? [a]\n: b", "unhashable", id="list as a name"),
        pytest.param("a: '\\u0000'\n\x00", "not allowed", id="NUL"),
        pytest.param("a" * (LARGEST + 1), "is larger than", id="too large"),
    ],
)
def test_hostile_text_is_refused_in_no_time_by_its_name(text: str, problem: str) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match=rf"^a\.yaml: (.|\n)*({problem})") as caught:
        parse_yaml(text.encode(), "a.yaml")
    assert len(str(caught.value)) < 500
    assert time.monotonic() - start < 10


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.yaml: is not YAML"):
        parse_yaml(b"\xff\xfe\xfa", "a.yaml")


def test_a_large_value_is_shown_by_its_beginning() -> None:
    assert shown([1]) == "[1]"
    assert len(shown("x" * 10**6)) < 210
