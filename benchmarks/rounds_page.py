"""The Rounds page of fifty rounds of twelve tasks, in a real browser on Airflow's own server.

python benchmarks/rounds_page.py     half a minute; needs Chromium

Prints `rounds_page ratio`: the median seconds until all cells and charts are there, over the
second that people are asked to wait at the most. The median of the server's answer goes to stderr.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TIMES = 11
SECONDS_AT_MOST = 1.0


def main() -> None:
    """Open the page again and again."""
    sys.path[:0] = [str(PROJECT), str(PROJECT / "plugins")]
    from tests.plugins.rounds_page.conftest import LONG, open_site
    from tests.plugins.rounds_page.test_page import open_fifty
    from tests.reviewer import open_browser

    with (
        tempfile.TemporaryDirectory() as folder,
        open_site(Path(folder)) as site,
        open_browser() as browser,
        browser.new_context(viewport={"width": 1280, "height": 900}) as context,
    ):
        context.add_cookies([{"name": "_token", "value": site.login("uma"), "url": site.url}])
        page = context.new_page()
        told = _median(lambda: site.state(LONG))
        opened = _median(lambda: open_fifty(page, site))
    sys.stderr.write(f"{opened:.2f} s, of which the server's answer {told:.2f} s\n")
    sys.stdout.write(f"rounds_page ratio={opened / SECONDS_AT_MOST:.2f}\n")


def _median(once: Callable[[], object]) -> float:
    """Return the median seconds; the first time, which loads the code, does not count."""
    return statistics.median([_seconds(once) for _ in range(TIMES)][1:])


def _seconds(once: Callable[[], object]) -> float:
    start = time.perf_counter()
    once()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
