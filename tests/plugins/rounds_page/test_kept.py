import threading
import time

import pytest

from boxloop_airflow.rounds_page.kept import Kept


def test_a_value_is_worked_out_once_whoever_asks_and_for_each_key() -> None:
    worked: list[int] = []

    def work(number: int) -> int:
        worked.append(number)
        time.sleep(0.1)
        return number * 2

    kept = Kept(work, 60)
    threads = [threading.Thread(target=kept, args=(1,)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (kept(1), kept(2), worked) == (2, 4, [1, 2])


def test_a_value_is_forgotten_by_time_by_number_and_when_told_to() -> None:
    now = iter(range(100))
    assert [Kept(lambda: next(now), 0)() for _ in range(2)] == [0, 1]
    kept = Kept(lambda key: (key, next(now)), 60, most=1)
    assert [kept("a"), kept("a"), kept("b"), kept("a")] == [("a", 2), ("a", 2), ("b", 3), ("a", 4)]
    kept.forget("a")
    assert kept("a") == ("a", 5)


def test_an_error_is_not_kept() -> None:
    asked: list[int] = []

    def work() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise OSError("away")
        return "there"

    kept = Kept(work, 60)
    with pytest.raises(OSError, match="away"):
        kept()
    assert kept() == "there"
