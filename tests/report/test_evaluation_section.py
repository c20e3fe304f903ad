import re
from collections.abc import Callable
from pathlib import Path

import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.report.load import write_report

MakeRun = Callable[..., Run]
BOTH = (1, 2)
NONE = "\N{EN DASH}"


def _page(run: Run) -> str:
    write_report(run.uri)
    return Path(run.report).read_text()


def _section(page: str, title: str) -> str:
    return page.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0]


def _cells(html: str) -> list[list[str]]:
    """Return the text of every cell, row by row."""
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", row)]
        for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)
    ]


def test_growth_has_intervals_and_a_change_that_is_no_chance_has_a_colour(
    make_run: MakeRun,
) -> None:
    page = _page(make_run(evaluated=BOTH))
    growth = _section(page, "Growth, round by round")
    assert f"0.20{NONE}0.30" in growth
    assert re.search(r'class="up">\+0.250.*\+0.02 to \+0.48', growth)
    assert "Training loss by round" in growth
    assert "round 1: 4 to 2, round 2: 2 to 1" in growth  # read out by screen readers


def test_a_change_that_may_be_chance_has_no_colour(make_run: MakeRun) -> None:
    run = make_run(evaluated=BOTH)
    changed = storage.read_json(run.evaluation(2)) | {"map50_change_interval": [-0.1, 0.6]}
    storage.write_json(run.evaluation(2), changed)
    growth = _section(_page(run), "Growth, round by round")
    assert re.search(r'class="">\+0.250', growth)


def test_a_class_in_too_few_images_for_an_interval_is_said_to_be(make_run: MakeRun) -> None:
    run = make_run(evaluated=BOTH)
    few = {"ap50_intervals": {"pip": None, "tock": None}}
    assert "too few images" not in _page(run)
    storage.write_json(run.evaluation(2), storage.read_json(run.evaluation(2)) | few)
    rows = _cells(_section(_page(run), "Class by class"))
    values = [row[2] for row in rows if row[0] in ("pip", "tock")][:2]
    assert values == ["0.500 too few images", NONE]


def test_adoptions_stand_beside_the_change_they_went_with(make_run: MakeRun) -> None:
    classes = _section(_page(make_run(evaluated=BOTH)), "Class by class")
    rows = _cells(classes.partition("What the adoptions did")[2])
    # round 1 adopted p0.jpg and p1.jpg, of class pip
    assert rows == [
        ["class", "round 2"],
        ["boxes", "AP"],
        ["pip", "2", "+0.25"],
        ["tock", "0", NONE],
    ]


def test_figures_at_the_threshold_and_cocos_by_round(make_run: MakeRun) -> None:
    rows = _cells(_section(_page(make_run(evaluated=BOTH)), "Right, wrong and missed"))
    figures = ["0.50", "0.61", "0.62", "0.63", "0.11", "0.13", "0.12", NONE, "0.15", "0.16"]
    assert ["1", *figures] in rows
    assert ["2", *figures] in rows
    assert ["pip", "1", "0", "1", "1.00", "0.50", "0.67"] in rows
    assert ["tock", "0", "0", "0", NONE, NONE, NONE] in rows


def test_a_threshold_that_nobody_chose_is_said_to_be_the_default(make_run: MakeRun) -> None:
    run = make_run(evaluated=BOTH)
    assert "It is the default" not in _page(run)
    figures = storage.read_json(run.evaluation(1))
    figures["operating"]["threshold_from"] = "default"
    storage.write_json(run.evaluation(1), figures)
    section = _section(_page(run), "Right, wrong and missed")
    assert section.count("It is the default, 0.50") == 1
    assert "Round 1 had nothing to choose its threshold by" in section


def test_test_images_that_took_no_part_are_listed(make_run: MakeRun) -> None:
    run = make_run(evaluated=BOTH)
    assert "could not be read in the last round" not in _page(run)
    lost = {"unreadable": {f"<{i}>.jpg": "it is a folder" for i in range(60)}}
    storage.write_json(run.evaluation(2), storage.read_json(run.evaluation(2)) | lost)
    section = _section(_page(run), "Right, wrong and missed")
    assert "60 test images could not be read in the last round" in section
    assert "&lt;0&gt;.jpg" in section
    assert "it is a folder" in section
    assert "and 10 more" in section


def test_the_confusion_matrix_tells_right_from_wrong(make_run: MakeRun) -> None:
    section = _section(_page(make_run(evaluated=BOTH)), "Right, wrong and missed")
    matrix = section.partition('<table class="confusion">')[2].partition("</table>")[0]
    assert [row[0] for row in _cells(matrix)] == ["", "pip", "tock", "background"]
    cells = re.findall(r'<td class="(\w+)" style="--share: ([\d.]+)">(\d+)</td>', matrix)
    assert cells == [("hit", "0.50", "1"), ("miss", "0.50", "1"), ("miss", "1.00", "2")]


def test_of_many_classes_those_mixed_up_most_are_shown(make_run: MakeRun) -> None:
    run = make_run(evaluated=BOTH)
    names = [f"c{number}" for number in range(1_200)]
    right = [[number, number, 9] for number in range(1_200)]
    mixed = [[number, number + 1, 1] for number in range(100, 122)]  # 100 to 122: 23 classes
    cells = [*right, *mixed, [7, 1_200, 5], [1_200, 8, 4]]  # 7 is missed more than 8 is made up
    matrix = {"confusion": {"names": [*names, "background"], "cells": cells}}
    storage.write_json(run.evaluation(2), storage.read_json(run.evaluation(2)) | matrix)
    page = _page(run)
    table = page.partition('<table class="confusion">')[2].partition("</table>")[0]
    shown = [row[0] for row in _cells(table)][1:]
    assert shown == ["c7", *(f"c{number}" for number in range(100, 123)), "background"]
    assert "Shown are the 24 of 1,200 classes that are mixed up most" in page
    assert 'style="--share: 0.36">5</td>' in table  # of 14


def test_errors_are_listed_by_kind(make_run: MakeRun) -> None:
    rows = _cells(_section(_page(make_run(evaluated=BOTH)), "Right, wrong and missed"))
    missed = next(row for row in rows if row[0].startswith("missed"))
    assert missed[1:] == ["0.05", "0.05", "8"]


def test_the_hand_check_is_the_studys_table_with_pictures(make_run: MakeRun) -> None:
    check = _section(_page(make_run(evaluated=BOTH)), "Hand check")
    assert _cells(check) == [
        ["class", "T", "F", "N"],
        ["pip", "1", "1", "0"],
        ["tock", "0", "0", "0"],
        ["all", "1", "1", "0"],
    ]
    assert "±0.21" in check
    letters = re.findall(r'<figcaption><b class="\w+">(\w)</b>', check)
    assert letters == ["T", "F"]
    assert 'class="true" x="20.0" y="20.0" width="40.0" height="40.0"' in check
    assert check.count(">tock 0.80</text>") == 1
    assert 'x="300.0"' not in check  # below the threshold


def test_lost_images_are_shown_as_they_were_and_are(make_run: MakeRun) -> None:
    lost = _section(_page(make_run(evaluated=BOTH)), "What the new model lost")
    assert _cells(lost)[1:] == [["1", "2", "1", NONE, NONE], ["2", "2", "1", "1", "1"]]
    assert "round 1 → 2" in lost
    assert re.findall(r">(\w+ 0.80)</text>", lost) == ["pip 0.80", "tock 0.80"]
    assert "e1.jpg" not in lost


def test_a_run_whose_rounds_were_evaluated_before_has_a_report_without_these_parts(
    make_run: MakeRun,
) -> None:
    page = _page(make_run())
    for title in ("Right, wrong and missed", "Hand check", "What the new model lost"):
        assert title not in page
    assert "a difference of 5 points" in page  # the rule of thumb instead of the interval


def test_a_run_that_went_on_with_all_figures_shows_those_rounds(make_run: MakeRun) -> None:
    page = _page(make_run(evaluated=[2]))
    rows = _cells(_section(page, "Right, wrong and missed"))
    assert [row[0] for row in rows if len(row) == 11] == ["2"]
    assert _cells(_section(page, "What the new model lost"))[1:] == [["2", "2", "1", NONE, NONE]]


@pytest.mark.parametrize("kept", ["images", "detections"])
def test_a_table_that_was_deleted_leaves_its_part_out(make_run: MakeRun, kept: str) -> None:
    run = make_run(evaluated=BOTH)
    for number in BOTH:
        tables = {"images": run.evaluated_detections(number)}
        Path(tables.get(kept, run.evaluated_images(number))).unlink()
    page = _page(run)
    assert ("What the new model lost" in page) == (kept == "images")
    assert "Hand check" in page


def test_test_images_that_cannot_be_read_keep_their_places(make_run: MakeRun) -> None:
    run = make_run(evaluated=BOTH)
    Path(run.uri, "images", "e0.jpg").write_bytes(b"no picture")
    page = _page(run)
    assert _section(page, "Hand check").count("cannot be read") == 1
    assert _section(page, "What the new model lost").count("cannot be read") == 2


def test_names_of_classes_cannot_inject_anything(make_run: MakeRun) -> None:
    page = _page(make_run(name="<script>alert(1)</script>", evaluated=BOTH))
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,)", page)


def test_the_same_run_gives_the_same_page(make_run: MakeRun) -> None:
    run = make_run(evaluated=BOTH)
    assert _page(run) == _page(run)
