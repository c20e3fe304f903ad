from typing import Any

from boxloop.oracle.growth_text import growth_text


def row(name: str, total: int, added: int, withdrawn: int = 0, **more: Any) -> dict[str, Any]:
    given = {"class_name": name, "total": total, "added": added, "withdrawn": withdrawn}
    return given | {"reviewed": 0, "precision": None} | more


def test_a_line_a_class_and_one_for_all() -> None:
    summaries = [
        {"round": 1, "growth": [row("pip", 12, 2), row("tock", 5, 0)]},
        {
            "round": 2,
            "growth": [row("pip", 14, 3, 1, reviewed=1, precision=0.5), row("tock", 5, 0)],
        },
    ]
    assert growth_text(summaries).splitlines() == [
        "                 round       in- with-    re-   pre-",
        "class      start     1  2 crease drawn viewed cision",
        "pip           10    12 14      4     1      1  0.500",
        "tock           5     5  5      0     0      0      -",
        "all           15    17 19      4     1      1      -",
    ]


def test_seven_rounds_of_the_study_fit_on_a_terminal() -> None:
    names = [f"abraham_grampa_simpson_{n:02d}" for n in range(18)]
    growth = [row(name, 17_448, 999, 99, reviewed=1_480, precision=0.987) for name in names]
    text = growth_text([{"round": n, "growth": growth} for n in range(1, 8)])
    lines = text.splitlines()
    assert len(lines) == 2 + 18 + 1
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= 100
    assert "abraham_gramp" in text


def test_of_many_rounds_the_first_and_the_last_are_shown() -> None:
    text = growth_text([{"round": n, "growth": [row("pip", n, 1, 0)]} for n in range(1, 12)])
    assert text.splitlines()[1].split()[2:9] == ["1", "6", "7", "8", "9", "10", "11"]
    assert text.splitlines()[2].split()[1] == "0"  # before round 1


def test_rounds_of_an_older_version_are_left_out() -> None:
    assert growth_text([{"round": 1}]) == ""
    assert growth_text([]) == ""
    text = growth_text([{"round": 1}, {"round": 2, "growth": [row("pip", 5, 2)]}])
    assert text.splitlines()[2].split() == ["pip", "3", "5", "2", "0", "0", "-"]
