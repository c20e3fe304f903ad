import time
from pathlib import Path

import pytest

from boxloop import borders


@pytest.mark.parametrize("name", ["a", "night-2026", "boards_1.2", "a [b]", "x" * 200])
def test_an_experiment_id_is_a_folders_name(name: str) -> None:
    borders.check_experiment_id(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../a", "a/b", "a\\b", "/etc", "C:", "gs://b", "a\n", "a\0", "-a", ".a"),
        *("~", "~root", "x" * 201, "a\x1b[2J", "é" * 101),
    ],
)
def test_no_other_text_is_an_experiment_id(name: str) -> None:
    with pytest.raises(ValueError, match="must be a folder's name"):
        borders.check_experiment_id(name)


@pytest.mark.parametrize(
    ("text", "is_fine"),
    [
        ("Screenshot at 1.00\u202fPM", True),
        ("写真 \N{CAT FACE}\u200d", True),
        ("a\nb", False),
        ("a\x1b[2J", False),
        ("a\x9b31m", False),
        ("a\u2028b", False),
        ("a\0", False),
        ("a\udcff", False),
    ],
)
def test_names_have_no_control_characters(text: str, is_fine: bool) -> None:
    assert borders.has_control(text) is not is_fine
    assert borders.is_class_name(text) is is_fine


def test_a_class_name_is_short() -> None:
    assert borders.is_class_name("x" * 200)
    assert not borders.is_class_name("x" * 201)


@pytest.mark.parametrize("name", ["../a", "a/../b", "/a", "a//b", "./a", "a/."])
def test_a_name_in_a_bucket_may_lead_out(name: str) -> None:
    assert borders.leads_out(name)
    assert not borders.leads_out("a/..b/c..d")


def test_what_lies_below_a_folder_is_told_through_links_and_dots(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/")
    assert borders.is_below(f"{root}/a", str(root))
    for uri in (f"{root}/link/a", f"{root}/../a", str(root), f"{root}-b/a", "gs://b/root/../a"):
        assert not borders.is_below(uri, str(root))
    assert borders.is_below("gs://b/root/a", "gs://b/root")
    assert not borders.is_below("gs://b/root/../a", "gs://b/root")
    assert not borders.is_below("https://host/root/a", str(root))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://u:p@host/a?token=x.", "see https://***@host/a?***."),
        ("postgresql+psycopg2://airflow:hush@db/airflow", "postgresql+psycopg2://***@db/airflow"),
        ("'https://h/a?X-Goog-Signature=abc': 404", "'https://h/a?***': 404"),
        ("https://u:p@ss@h/x", "https://***@h/x"),
        ("https://u:pa'ss@h/x", "https://***@h/x"),
        ("db://u:p#s?s@h/x", "db://***@h/x"),
        (f"https://h/{'a' * 400}?token=x", f"https://h/{'a' * 400}?***"),
        ("https://h/o'brien?token=x'y", "https://h/o'brien?***"),
        ("(https://h/a#access_token=x)", "(https://h/a#***)"),
        ("https://h/docs#usage", "https://h/docs#usage"),
        ("gs://bucket/a#1.jpg: no image", "gs://bucket/a#1.jpg: no image"),
        ("gs://bucket/a b@c", "gs://bucket/a b@c"),
        ("is it right? a@b.c", "is it right? a@b.c"),
    ],
)
def test_logins_and_queries_of_addresses_are_not_shown(text: str, shown: str) -> None:
    assert borders.masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 100_000, "a.+-" * 25_000, "a://" * 25_000, "a://?" * 20_000, "://@" * 25_000),
        *(
            "a://#" * 20_000,
            "a://" + "#" * 100_000,
            "a://?" + "'" * 100_000,
            "a://" + "@'" * 50_000,
        ),
    ],
)
def test_masking_takes_no_time(text: str) -> None:
    start = time.monotonic()
    borders.masked(text)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "a", "'a"])
def test_a_spreadsheet_runs_no_name_and_the_name_comes_back(name: str) -> None:
    cell = borders.spreadsheet_text(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t"))
    assert borders.plain_text(cell) == name
