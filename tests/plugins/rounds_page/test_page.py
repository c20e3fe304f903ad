"""The pages in a real browser, on Airflow's own server."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.plugins.rounds_page.conftest import LONG, Site
from tests.reviewer import open_browser

pytestmark = pytest.mark.slow
FIFTY_BY_TWELVE = 50 * 12
NAME = """node => node.ariaLabel || node.labels?.[0]?.innerText || node.innerText
    || document.getElementById(node.getAttribute("aria-labelledby"))?.innerText"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    yield from _open(browser, site, {"width": 1280, "height": 900})


@pytest.fixture
def phone(browser: Browser, site: Site) -> Iterator[Page]:
    yield from _open(browser, site, {"width": 390, "height": 844}, color_scheme="dark")


def _open(browser: Browser, site: Site, size: Any, **settings: Any) -> Iterator[Page]:
    context = browser.new_context(viewport=size, **settings)
    context.add_cookies([{"name": "_token", "value": site.login("uma"), "url": site.url}])
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    page.on("request", lambda sent: _check_host(sent.url, site.url, errors))
    yield page
    context.close()
    assert errors == []


def _check_host(url: str, own: str, errors: list[str]) -> None:
    if not url.startswith((own, "data:")):
        errors.append(f"asks another host: {url}")


def _is_poll(url: str) -> bool:
    """Whether it asks for what is new, and not for all."""
    return "/state?known=" in url and not url.endswith("known=")


def visit(page: Page, site: Site, run_id: str) -> Page:
    page.goto(site.url + site.page(run_id))
    expect(page.locator("main")).to_be_visible()
    return page


def test_who_signs_in_finds_the_tab_of_a_run(browser: Browser, site: Site) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site.url}/dags/active_learning/runs/done/plugin/rounds")
        page.get_by_label("Username").fill("vic")
        page.get_by_label("Password").fill("vic")
        page.get_by_role("button", name="Sign in").click()
        rounds = page.frame_locator("iframe")
        expect(rounds.locator("#matrix .cell").first).to_be_visible(timeout=60_000)


def test_fifty_rounds_are_there_with_at_most_five_requests(page: Page, site: Site) -> None:
    requests: list[str] = []
    page.on("request", lambda sent: requests.append(sent.url))
    open_fifty(page, site)  # in how long: benchmarks/rounds_page.py
    page.locator("#examples").scroll_into_view_if_needed()
    expect(page.locator(".shot img").first).to_be_visible()
    assert len([url for url in requests if not _is_poll(url) and "data:" not in url]) <= 5


def open_fifty(page: Page, site: Site) -> None:
    """Open the page of fifty rounds, and wait until all cells are there."""
    page.goto(site.url + site.page(LONG), wait_until="commit")
    expect(page.locator("#matrix .cell")).to_have_count(FIFTY_BY_TWELVE)
    expect(page.locator("#charts figure")).to_have_count(2)


def test_a_cell_leads_to_its_log_and_says_its_state_in_words(page: Page, site: Site) -> None:
    visit(page, site, "done")
    cell = page.get_by_role(
        "link", name="train, round 2: success, 7 min 11 s, 1.0 s queued, 2 tries"
    )
    expect(cell).to_have_attribute(
        "href", "/dags/active_learning/runs/done/tasks/round.train/mapped/1"
    )
    plan = page.get_by_role("link", name="plan_rounds: success")
    expect(plan).to_have_attribute("href", "/dags/active_learning/runs/done/tasks/plan_rounds")


def test_times_at_work_waiting_and_queued_can_be_chosen(page: Page, site: Site) -> None:
    visit(page, site, "done")
    gate = page.get_by_role("link", name="gate, round 1")
    expect(gate).to_have_text("✓")
    page.get_by_label("waiting", exact=True).check(force=True)
    expect(gate).to_have_text("✓13 s")  # with 1 s in the queue
    page.get_by_label("queued", exact=True).check(force=True)
    expect(gate).to_have_text("✓")
    expect(page.get_by_role("link", name="train, round 1")).to_have_text("✓1 s")


def test_progress_of_what_runs_is_told(page: Page, site: Site) -> None:
    visit(page, site, LONG)
    expect(page.locator("#progress")).to_contain_text(
        "step 400 of 1000 · loss 0.4321 · 20 images/s · about 2 min 00 s left"
    )
    cell = page.get_by_role("link", name="train, round 50: running")
    expect(cell).to_be_in_viewport()


def test_a_round_that_was_undone_keeps_no_mean(page: Page, site: Site) -> None:
    told = site.state(LONG)
    rounds = told["figures"]["rounds"]
    less = {**told, "stamp": "new", "figures": {**told["figures"], "rounds": rounds[:-1]}}
    date = {"Date": "Mon, 23 Nov 2026 12:00:00 GMT"}
    page.route("**/state?known=*", lambda route: route.fulfill(json=told, headers=date))
    visit(page, site, LONG)
    expect(page.locator("#mean-49")).not_to_be_empty()
    page.route("**/state?known=*", lambda route: route.fulfill(json=less, headers=date))
    expect(page.locator("#mean-49")).to_be_empty()
    expect(page.locator("#mean-48")).not_to_be_empty()


def test_results_that_cannot_be_read_are_told_of_and_the_tasks_shown(
    page: Page, site: Site
) -> None:
    visit(page, site, "broken")
    expect(page.locator("#unreadable")).to_contain_text("round_02/summary.json is no JSON")
    expect(page.locator("#matrix .cell")).to_have_count(18)
    expect(page.locator("#times tbody tr")).to_have_count(3)


def test_a_rerun_is_sent_once_however_often_the_page_is_told_the_news(
    page: Page, site: Site
) -> None:
    told = site.state(LONG)
    rows = [{**row, "cells": [*row["cells"][:-1], None]} for row in told["rows"]]
    idle = {**told, "rows": rows, "unfinished": 50}
    date = {"Date": "Mon, 23 Nov 2026 12:00:00 GMT"}
    page.route("**/state?known=*", lambda route: route.fulfill(json=idle, headers=date))
    sent: list[str] = []
    page.route("**/rerun", lambda route: sent.append(route.request.url))  # never answered
    visit(page, site, LONG)
    page.get_by_role("button", name="Rerun…").click()
    expect(page.locator("#ask-yes")).to_have_text("Rerun from round 50")  # though not begun
    page.locator("#ask-yes").click()
    with page.expect_response(lambda got: "/state?" in got.url, timeout=60_000):
        pass
    page.wait_for_timeout(200)
    expect(page.locator("#ask-yes")).to_be_disabled()
    assert len(sent) == 1


def test_why_rounds_were_skipped_is_said(page: Page, site: Site) -> None:
    visit(page, site, "early")
    expect(page.locator("#skipped")).to_have_text(
        "Rounds 3 to 4 were skipped: every image of the pool has a box: round 2 asked about none."
    )


def test_what_came_of_it_is_shown_with_words_for_who_cannot_see_it(page: Page, site: Site) -> None:
    visit(page, site, "done")
    chart = page.get_by_role("img", name="mAP@0.5 by round, with its 95 % interval")
    assert "round 2:" in (chart.locator("desc").text_content() or "")
    expect(page.locator("#growth tbody tr")).to_have_count(9)  # 8 classes, and all of them
    expect(page.locator("#classes figure")).to_have_count(8)
    expect(page.locator("#times tbody tr")).to_have_count(3)


def test_examples_of_another_round_can_be_chosen(page: Page, site: Site) -> None:
    visit(page, site, "done")
    page.locator("#examples").scroll_into_view_if_needed()
    expect(page.locator(".shot")).to_have_count(12)
    with page.expect_response("**/rounds/1/examples"):
        page.locator("#round").select_option("1")
    expect(page.locator(".shot")).to_have_count(12)


def test_before_a_rerun_the_page_asks_and_says_what_will_be_done(page: Page, site: Site) -> None:
    visit(page, site, "done")
    page.get_by_role("button", name="Rerun…").click()
    page.get_by_label("Round", exact=True).last.select_option("1")
    told = page.locator("#ask-what")
    expect(told).to_contain_text("What rounds 1 to 2 left")
    expect(told).to_contain_text("19 tasks, report among them, are cleared and run again.")
    page.get_by_role("button", name="Leave it").click()
    expect(page.locator("#ask")).to_be_hidden()


def test_a_rerun_of_what_is_at_work_cannot_be_confirmed(page: Page, site: Site) -> None:
    visit(page, site, LONG)
    page.get_by_role("button", name="Rerun…").click()
    expect(page.locator("#ask-trouble")).to_contain_text("train of round 50 is still at work")
    expect(page.locator("#ask-yes")).to_be_disabled()


def test_of_a_run_elsewhere_the_page_says_why_there_are_no_figures(page: Page, site: Site) -> None:
    visit(page, site, "outside")
    expect(page.locator("#says")).to_contain_text("name it in BOXLOOP_REVIEW_ROOTS")
    expect(page.locator("#rerun")).to_be_disabled()


def test_a_run_that_has_just_begun_says_so(page: Page, site: Site) -> None:
    visit(page, site, "fresh")
    expect(page.locator("#facts")).to_contain_text("the rounds are being planned")
    expect(page.locator("#times")).to_be_hidden()
    expect(page.locator("#rerun")).to_be_disabled()


def test_a_run_of_another_dag_has_no_rounds(page: Page, site: Site) -> None:
    page.goto(site.url + site.page("plain", "other"))
    expect(page.locator("#says")).to_contain_text("This run has no rounds")


@pytest.mark.parametrize("run_id", [LONG, "done", "early"])
def test_it_fits_a_phone(phone: Page, site: Site, run_id: str) -> None:
    visit(phone, site, run_id)
    phone.locator("#examples").scroll_into_view_if_needed()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    expect(phone.get_by_role("button", name="Rerun…")).to_be_visible()


def test_all_experiments_are_listed_and_lead_to_their_rounds(phone: Page, site: Site) -> None:
    phone.goto(f"{site.url}/boxloop-rounds/experiments")
    rows = phone.locator("#experiments tbody tr")
    expect(rows.first).to_contain_text("49 of 50")
    expect(phone.get_by_role("link", name="done")).to_have_attribute(
        "href", "/dags/active_learning/runs/done/plugin/rounds"
    )
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_over_is_not_asked_again(page: Page, site: Site) -> None:
    visit(page, site, "done")
    requests: list[str] = []
    page.on("request", lambda sent: requests.append(sent.url))
    page.wait_for_timeout(4000)
    assert not [url for url in requests if "/state" in url]


def test_what_runs_is_asked_again_but_not_while_nobody_looks(page: Page, site: Site) -> None:
    visit(page, site, LONG)
    with page.expect_response(lambda got: _is_poll(got.url), timeout=60_000):
        pass
    hide = "is => {Object.defineProperty(document, 'hidden', {value: is, configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange'))}"
    page.evaluate(hide, True)
    page.wait_for_timeout(500)
    requests: list[str] = []
    page.on("request", lambda sent: requests.append(sent.url))
    page.wait_for_timeout(4000)
    assert requests == []
    with page.expect_request(lambda sent: _is_poll(sent.url)):
        page.evaluate(hide, False)


def test_every_control_has_a_name(page: Page, site: Site) -> None:
    visit(page, site, "done")
    for kind in ("button", "combobox", "radio", "region", "table"):
        for control in page.get_by_role(kind).all():
            assert control.is_visible()
            assert control.evaluate(NAME), control
