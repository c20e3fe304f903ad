"""The Rounds page in Airflow's own UI: a run watched until it is done, its log, a rerun."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect
from tests.e2e.conftest import Start, instances, wait_for_end, wait_until
from tests.reviewer import open_browser

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG
from boxloop.local_airflow.server import AirflowServer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
RUN_ID = "watched"
ENDING_SECONDS = 31
"""How long after the last sign of life of a task a rerun is refused, and a little more."""
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


class Watcher(NamedTuple):
    """Somebody at the tab of a run."""

    page: Page
    rounds: FrameLocator
    problems: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def run(start: Start) -> Run:
    return start(RUN_ID)


@pytest.fixture(scope="module")
def watcher(browser: Browser, server: AirflowServer, run: Run) -> Iterator[Watcher]:
    """Somebody who has opened the tab while the run began."""
    page, problems = browser.new_page(viewport={"width": 1440, "height": 1000}), list[str]()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda told: _note(told.type, told.text, told.location["url"], problems))
    page.on("request", lambda sent: _check_host(sent.url, server.url, problems))
    page.goto(f"{server.url}/dags/{DAG}/runs/{RUN_ID}/plugin/rounds")
    yield Watcher(page, page.frame_locator("iframe"), problems)
    page.close()


def _note(kind: str, text: str, url: str, problems: list[str]) -> None:
    if kind == "error" and "boxloop-rounds" in url + text:  # Airflow's own pages have others
        problems.append(text)


def _check_host(url: str, own: str, problems: list[str]) -> None:
    if not url.startswith((own, "data:", "blob:")):
        problems.append(f"asks another host: {url}")


def cell(watcher: Watcher, name: str) -> str:
    """Return what a cell of the matrix says, by the beginning of its name."""
    found = watcher.rounds.locator(f'a.cell[aria-label^="{name}:"]')
    return (found.get_attribute("aria-label") or "").partition(": ")[2]


def test_a_run_is_watched_until_it_is_done(watcher: Watcher, client: AirflowClient) -> None:
    state = watcher.rounds.locator("#run-state")
    expect(state).to_have_text("running", timeout=120_000)
    running = watcher.rounds.locator('#matrix .cell[data-state="running"]')
    expect(running.first).to_be_visible(timeout=120_000)
    expect(state).to_have_text("success", timeout=1800_000)
    expect(watcher.rounds.locator("#facts")).to_contain_text("2 of 2 rounds done")
    states = instances(client, RUN_ID)
    assert set(states.values()) == {"success"}
    cells = watcher.rounds.locator('#matrix .cell[data-state="success"]')
    expect(cells).to_have_count(len([key for key in states if key[1] >= 0]))


def test_the_figures_are_those_of_the_run(watcher: Watcher, run: Run) -> None:
    means = [storage.read_json(run.summary(number))["map50"] for number in (1, 2)]
    shown = [watcher.rounds.locator(f"#mean-{number}").inner_text() for number in (1, 2)]
    assert shown == [f"{mean:.2f}" for mean in means]
    watcher.rounds.locator("#examples").scroll_into_view_if_needed()
    expect(watcher.rounds.locator(".shot img").first).to_be_visible()


def test_gates_wait_and_trainings_work(watcher: Watcher) -> None:
    assert cell(watcher, "gate, round 2").startswith("success, ")
    assert "waiting" in cell(watcher, "gate, round 2")
    assert "waiting" not in cell(watcher, "train, round 2")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_looked_at_on_any_screen(
    browser: Browser,
    server: AirflowServer,
    watcher: Watcher,
    tmp_path: Path,
    size: str,
    scheme: str,
) -> None:
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(f"{server.url}/boxloop-rounds/dags/{DAG}/runs/{RUN_ID}")
    page.locator("#examples").scroll_into_view_if_needed()
    expect(page.locator(".shot img").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / f"rounds-{size}-{scheme}.png", full_page=True)
    context.close()


def test_a_log_is_opened_from_the_matrix(watcher: Watcher) -> None:
    watcher.rounds.locator('a.cell[aria-label^="train, round 2:"]').click()
    watcher.page.wait_for_url(f"**/dags/{DAG}/runs/{RUN_ID}/tasks/round.train/mapped/1**")
    expect(watcher.page.get_by_text("Launching boxloop-watched").first).to_be_visible(
        timeout=120_000
    )
    watcher.page.go_back()
    expect(watcher.rounds.locator("#matrix")).to_be_visible(timeout=120_000)


def test_the_report_opens_in_a_window_of_its_own(watcher: Watcher) -> None:
    with watcher.page.context.expect_page() as opened:
        watcher.rounds.get_by_role("link", name="Report", exact=True).click()
    expect(opened.value.locator("h1")).to_be_visible()
    opened.value.close()


def test_the_navigation_leads_to_all_experiments_and_on_to_a_run(
    watcher: Watcher, server: AirflowServer
) -> None:
    watcher.page.goto(f"{server.url}/plugin/experiments")
    watcher.rounds.get_by_role("link", name=RUN_ID, exact=True).click()
    watcher.page.wait_for_url(f"**/dags/{DAG}/runs/{RUN_ID}/plugin/rounds")
    expect(watcher.rounds.locator("#matrix")).to_be_visible(timeout=120_000)


def test_a_rerun_from_round_2_does_that_round_anew_and_no_other(
    watcher: Watcher, run: Run, client: AirflowClient
) -> None:
    first, merged = storage.digest(run.summary(1)), run.timing(2, "merge")
    before = storage.read_json(merged)["started"]
    time.sleep(ENDING_SECONDS)  # the run may have ended a moment ago
    watcher.rounds.get_by_role("button", name="Rerun…").click()
    expect(watcher.rounds.locator("#ask-yes")).to_have_text("Rerun from round 2")
    watcher.rounds.locator("#ask-yes").click()
    expect(watcher.rounds.locator("#says")).to_have_text("10 tasks run again.")
    assert not storage.exists(run.summary(2))
    wait_until(lambda: instances(client, RUN_ID).get(("round.gate", 1)) == "success", 600)
    assert wait_for_end(client, RUN_ID) == "success"
    expect(watcher.rounds.locator("#run-state")).to_have_text("success", timeout=120_000)
    assert storage.digest(run.summary(1)) == first
    assert storage.read_json(merged)["started"] > before
    assert storage.exists(f"{run.uri}/rolled_back/1/round_02/summary.json")


def test_nothing_went_wrong_in_the_page_and_no_other_host_was_asked(watcher: Watcher) -> None:
    assert watcher.problems == []
