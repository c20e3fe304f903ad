import getpass

import pytest

from boxloop.terminal import figure, login_name, printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ü king.jpg", "ü king.jpg"),
        ("a\nb", "a\\nb"),
        ("\x1b[2Ja\rb", "\\x1b[2Ja\\rb"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_stay_lines() -> None:
    assert printable_lines("a\x07\nb") == "a\\x07\nb"


def test_a_figure_that_is_not_known_is_a_dash() -> None:
    assert [figure(0.53125), figure(None)] == ["0.531", "\N{EN DASH}"]


@pytest.mark.parametrize("error", [KeyError(1000), OSError("no such user")])
def test_a_login_may_have_no_name(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def getuser() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", getuser)
    assert login_name() is None
