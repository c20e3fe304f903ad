import os
import shutil
import signal
import sys
import time
from collections import namedtuple
from typing import Any

import pytest
from rich.console import Console

from boxloop.local_airflow import demo
from boxloop.local_airflow.demo import check_machine, growth_table, interruptible

Usage = namedtuple("Usage", "total used free")


def test_growth_table_has_a_row_a_round() -> None:
    rounds: list[dict[str, Any]] = [
        {"round": 1, "training_images": 48, "adopted": 120, "map50": 0.5312},
        {"round": 2, "training_images": 168, "adopted": 20, "map50": 0.86},
        {"round": 3, "training_images": 188, "adopted": 0, "map50": None},
    ]
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(growth_table({"rounds": rounds}))
    rows = [line.replace("│", " ").split() for line in capture.get().splitlines()]
    assert ["1", "48", "120", "0.531"] in rows
    assert ["2", "168", "20", "0.860"] in rows
    assert ["3", "188", "0", "\N{EN DASH}"] in rows


def test_a_full_disk_is_found_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(RuntimeError, match=r"1\.0 GB of free disk space"):
        check_machine()


def test_an_unknown_python_is_found_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    with pytest.raises(RuntimeError, match=r"3\.11 to 3\.13, this is 3\.14"):
        check_machine()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_polite_end_is_an_interruption_and_only_the_first(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    cleaned_up = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # impatient
            cleaned_up.append(True)

    with pytest.raises(KeyboardInterrupt), interruptible():
        work()
    assert cleaned_up
    assert signal.getsignal(number) is before


def test_a_demo_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**10, 10**10, 0))
    assert demo.run_demo() == 1
    assert "free disk space" in capsys.readouterr().out
