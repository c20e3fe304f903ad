"""The page in a real browser, on Airflow's own server."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from tests.plugins.review.conftest import POOL, Site, decisions
from tests.plugins.review.runs import CROWDED, OTHERS
from tests.reviewer import Reviewer, open_browser

from boxloop import review
from boxloop.artifacts import Run

pytestmark = pytest.mark.slow
UNSENT = """Object.values(localStorage).filter(one => one[0] === "[")
    .reduce((sum, one) => sum + JSON.parse(one).length, 0)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


def visit(browser: Browser, site: Site, user: str = "uma", **settings: Any) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **settings)
    context.add_cookies([{"name": "_token", "value": site.login(user), "url": site.url}])
    page = context.new_page()
    page.goto(site.url + site.page)
    return page


@pytest.fixture
def reviewer(browser: Browser, fresh: Site) -> Iterator[Reviewer]:
    page = visit(browser, fresh)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    someone = Reviewer(page)
    someone.wait()
    yield someone
    wait_until_unsent(page, 0)  # else the next test finds what comes late
    page.context.close()
    assert errors == []


def wait_until_unsent(page: Page, count: int) -> None:
    """Wait until a page keeps so many decisions that the server has not taken yet."""
    for _ in range(600):
        if page.evaluate(UNSENT) == count:
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{page.evaluate(UNSENT)} decisions wait on the page, not {count}")


def wait_for(site: Site, count: int, page: Page) -> list[dict[str, Any]]:
    """Return the decisions once there are so many."""
    for _ in range(600):
        if len(found := decisions(site.run)) >= count:
            break
        page.wait_for_timeout(50)
    assert len(found) == count
    return found


def test_keys_decide_and_each_decision_is_saved_at_once(fresh: Site, reviewer: Reviewer) -> None:
    begun = time.monotonic()
    reviewer.page.reload()  # its clock begins with the picture
    reviewer.wait()
    expect(reviewer.find("#picture")).to_be_visible()
    reviewer.page.wait_for_timeout(300)
    reviewer.press("a r s a")
    reviewer.expect_done(3, POOL)
    found = wait_for(fresh, 4, reviewer.page)
    assert [each["action"] for each in found] == ["accept", "reject", "skip", "accept"]
    assert {each["author"] for each in found} == {"uma"}
    assert len({each["image_id"] for each in found}) == 4
    assert found[0]["seconds"] >= 0.25
    assert sum(each["seconds"] for each in found) <= time.monotonic() - begun + 1


def test_a_reload_finds_everything_as_it_was(fresh: Site, reviewer: Reviewer) -> None:
    reviewer.press("a r")
    reviewer.expect_done(2, POOL)
    title = reviewer.find("#title").inner_text()
    wait_for(fresh, 2, reviewer.page)
    reviewer.page.reload()
    reviewer.wait()
    reviewer.expect_done(2, POOL)
    expect(reviewer.find("#title")).to_have_text(title)


def test_undo_takes_back_the_newest_also_after_a_reload(fresh: Site, reviewer: Reviewer) -> None:
    reviewer.press("a r")
    wait_for(fresh, 2, reviewer.page)
    reviewer.page.reload()
    reviewer.wait()
    reviewer.press("u")
    reviewer.expect_done(1, POOL)
    found = wait_for(fresh, 3, reviewer.page)
    assert (found[2]["action"], found[2]["image_id"]) == ("undo", found[1]["image_id"])
    assert review.progress(fresh.run, 1)["done"] == 1


def test_dragging_a_corner_makes_a_correction(fresh: Site, reviewer: Reviewer) -> None:
    first = review.read_review(fresh.run, 1).queue.iloc[0]
    stage, box = reviewer.stage(), reviewer.box()
    scale = 256 / stage.width
    corner = (box.x, box.y)
    reviewer.drag(corner, (box.x + 20 / scale, box.y + 10 / scale))
    expect(reviewer.find("#accept")).to_contain_text("Save correction")
    reviewer.press("a")
    (decision,) = wait_for(fresh, 1, reviewer.page)
    assert decision["action"] == "correct"
    (given,) = decision["boxes"]
    assert given["xmin"] == pytest.approx(first["xmin"] + 20, abs=1)
    assert given["ymin"] == pytest.approx(first["ymin"] + 10, abs=1)
    assert (given["xmax"], given["ymax"]) == pytest.approx((first["xmax"], first["ymax"]), abs=0.05)


def test_dragging_the_body_moves_it_inside_the_image(fresh: Site, reviewer: Reviewer) -> None:
    stage, box = reviewer.stage(), reviewer.box()
    middle = (box.x + box.width / 2, box.y + box.height / 2)
    reviewer.drag(middle, (stage.x + 2, stage.y + 2))  # further than there is room
    moved = reviewer.box()
    assert (moved.x, moved.y) == pytest.approx((stage.x, stage.y), abs=1)
    assert (moved.width, moved.height) == pytest.approx((box.width, box.height), abs=1)


def test_a_box_is_drawn_where_there_is_none(fresh: Site, reviewer: Reviewer) -> None:
    asked = review.read_review(fresh.run, 1).queue
    draw = asked[asked["action"] == "draw"].iloc[0]
    reviewer.find("#classes button").filter(has_text=str(draw["image_label"])).click()
    reviewer.find("#grid button").filter(has_text="draw").first.click()
    expect(reviewer.find(".box")).to_have_count(0)
    reviewer.press("a")
    expect(reviewer.find("#says")).to_contain_text("no box to accept")
    stage = reviewer.stage()
    start = (stage.x + stage.width * 0.75, stage.y + stage.height / 2)
    reviewer.drag(start, (stage.x + stage.width / 4, stage.y + stage.height / 4))
    expect(reviewer.find(".box")).to_have_count(1)
    reviewer.press("a")
    (decision,) = wait_for(fresh, 1, reviewer.page)
    (box,) = decision["boxes"]
    edges = [box[edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
    assert edges == pytest.approx([64, 64, 192, 128], abs=1)
    assert (decision["action"], box["class_name"]) == ("correct", draw["image_label"])


def test_the_class_picker_makes_a_correction(fresh: Site, reviewer: Reviewer) -> None:
    proposed = review.read_review(fresh.run, 1).queue["class_name"].iloc[0]
    other = next(name for name in ("pip", "tock") if name != proposed)
    reviewer.find("#class").select_option(other)
    reviewer.press("a")
    (decision,) = wait_for(fresh, 1, reviewer.page)
    assert (decision["action"], decision["boxes"][0]["class_name"]) == ("correct", other)


def test_a_box_is_moved_and_removed_by_keys_alone(fresh: Site, reviewer: Reviewer) -> None:
    reviewer.press("b")
    expect(reviewer.find(".box").nth(1)).to_be_focused()
    before = reviewer.box(1)
    reviewer.press("ArrowRight Control+ArrowDown Shift+ArrowLeft")
    after, scale = reviewer.box(1), 256 / reviewer.stage().width
    moved = [(after.x - before.x) * scale, (after.y - before.y) * scale]
    assert moved == pytest.approx([1, 10], abs=0.1)
    assert (before.width - after.width) * scale == pytest.approx(1, abs=0.1)
    reviewer.press("Delete")
    expect(reviewer.find(".box")).to_have_count(1)
    expect(reviewer.find("#accept-word")).to_have_text("Accept")


def test_arrows_and_brackets_go_through_the_grid(reviewer: Reviewer) -> None:
    first = reviewer.find("#title").inner_text()
    reviewer.press("ArrowRight")  # scrolls
    expect(reviewer.find("#title")).to_have_text(first)
    reviewer.find("#grid button").first.focus()
    reviewer.press("ArrowRight")
    expect(reviewer.find("#title")).not_to_have_text(first)
    reviewer.press("ArrowLeft")
    expect(reviewer.find("#title")).to_have_text(first)
    reviewer.press("]")
    expect(reviewer.find("#classes button").nth(1)).to_have_attribute("aria-pressed", "true")


def test_what_could_not_be_saved_is_told_and_sent_again_even_after_a_reload(
    fresh: Site, reviewer: Reviewer
) -> None:
    page = reviewer.page

    def fail(route: Route) -> None:
        route.abort() if route.request.method == "POST" else route.continue_()

    page.route("**/decisions", fail)
    reviewer.press("r")
    expect(reviewer.find("#trouble")).to_contain_text("Not saved yet: 1")
    assert decisions(fresh.run) == []
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    reviewer.wait()
    page.unroute("**/decisions")
    wait_for(fresh, 1, page)
    reviewer.expect_done(1, POOL)


def test_time_stands_still_while_the_page_is_hidden(fresh: Site, reviewer: Reviewer) -> None:
    page = reviewer.page
    hide = "is => {Object.defineProperty(document, 'hidden', {value: is, configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange'))}"
    expect(reviewer.find("#picture")).to_be_visible()
    page.wait_for_timeout(300)
    page.evaluate(hide, True)
    page.wait_for_timeout(8000)
    page.evaluate(hide, False)
    reviewer.press("r")
    (decision,) = wait_for(fresh, 1, page)
    assert 0.3 <= decision["seconds"] < 7.5


def test_who_may_not_decide_may_look(browser: Browser, fresh: Site) -> None:
    page = visit(browser, fresh, "vic")
    viewer = Reviewer(page)
    viewer.wait()
    expect(viewer.find("#says")).to_contain_text("You may look, not decide")
    expect(viewer.find("#accept")).to_be_disabled()
    viewer.press("a r")
    viewer.expect_done(0, POOL)
    assert decisions(fresh.run) == []
    page.context.close()


def test_it_fits_a_phone_and_speaks_to_its_own_host_alone(browser: Browser, fresh: Site) -> None:
    page = visit(browser, fresh)
    page.set_viewport_size({"width": 360, "height": 740})
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.reload()
    reviewer = Reviewer(page)
    reviewer.wait()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(reviewer.find("#accept")).to_be_in_viewport()
    assert requests
    assert [url for url in requests if not url.startswith(fresh.url)] == []
    page.context.close()


def test_every_control_has_a_name(reviewer: Reviewer) -> None:
    for kind in ("button", "combobox", "checkbox", "progressbar"):
        for control in reviewer.page.get_by_role(kind).all():
            assert re.match(r"- '?\w+ \"[^\"]", snapshot := control.aria_snapshot()), snapshot


def test_a_closed_review_can_be_seen_but_not_changed(browser: Browser, fresh: Site) -> None:
    review.close(fresh.run, 1)
    page = visit(browser, fresh)
    reviewer = Reviewer(page)
    reviewer.wait()
    expect(reviewer.find("#says")).to_contain_text("This review is closed")
    expect(reviewer.find("#reject")).to_be_disabled()
    page.context.close()


def open_item(reviewer: Reviewer, number: int, run: Run) -> None:
    """Open an image by its place in the queue."""
    row = review.read_review(run, 1).queue.iloc[number]
    name = row["class_name"] if isinstance(row["class_name"], str) else row["image_label"]
    reviewer.find("#classes button").filter(has_text=str(name)).first.click()
    for button in reviewer.find("#grid button").all():
        button.click()
        if str(row["image_id"]) in reviewer.find("#why").inner_text():
            break
    expect(reviewer.find("#picture")).to_be_visible()
    reviewer.find("#title").click()


def test_nothing_is_decided_on_a_picture_that_is_not_there(fresh: Site, reviewer: Reviewer) -> None:
    page = reviewer.page
    held: list[Route] = []
    page.route("**/image?*size=view*", lambda route: held.append(route))
    page.reload()
    reviewer.wait()
    expect(reviewer.find("#picture")).to_be_hidden()
    page.keyboard.press("s")
    page.keyboard.press("r")
    expect(reviewer.find("#says")).to_contain_text("There is no picture yet")
    assert [one["action"] for one in wait_for(fresh, 1, page)] == ["skip"]
    assert held
    for route in held:
        route.continue_()
    expect(reviewer.find("#picture")).to_be_visible()


def test_a_correction_holds_the_boxes_that_stand_beside(fresh: Site, reviewer: Reviewer) -> None:
    open_item(reviewer, CROWDED, fresh.run)
    expect(reviewer.find(".box")).to_have_count(3)
    expect(reviewer.find("#accept-word")).to_have_text("Accept")
    reviewer.press("b a")
    (decision,) = wait_for(fresh, 1, reviewer.page)
    assert (decision["action"], len(decision["boxes"])) == ("correct", 4)
    assert [box in decision["boxes"] for box in OTHERS] == [True, True]


def test_accepting_says_yes_to_the_proposed_box_alone(fresh: Site, reviewer: Reviewer) -> None:
    open_item(reviewer, CROWDED, fresh.run)
    reviewer.press("a")
    (decision,) = wait_for(fresh, 1, reviewer.page)
    assert (decision["action"], len(decision["boxes"])) == ("accept", 1)


def test_drawn_boxes_outlive_a_rejection_an_undo_and_escape(
    fresh: Site, reviewer: Reviewer
) -> None:
    reviewer.press("b Escape")
    expect(reviewer.find(".box")).to_have_count(2)
    reviewer.press("r u")
    expect(reviewer.find(".box")).to_have_count(2)
    reviewer.press("a u")
    expect(reviewer.find(".box")).to_have_count(2)
    expect(reviewer.find("#accept-word")).to_have_text("Save correction")


def test_undo_takes_back_what_was_decided_last(fresh: Site, reviewer: Reviewer) -> None:
    reviewer.press("a a")
    reviewer.find("#grid button").first.click()
    reviewer.press("r u")
    found = wait_for(fresh, 4, reviewer.page)
    assert found[3]["image_id"] == found[2]["image_id"] == found[0]["image_id"]


def test_two_people_do_not_do_the_same_work(browser: Browser, fresh: Site) -> None:
    both = [Reviewer(visit(browser, fresh, user)) for user in ("uma", "anna")]
    for one in both:
        one.wait()
    for count in range(1, 7):
        for one in both:
            one.press("r")
        wait_for(fresh, 2 * count, both[0].page)
        both[0].page.wait_for_timeout(100)
    images = [each["image_id"] for each in decisions(fresh.run)]
    assert len(set(images)) >= 8  # 6 if they do not know of each other; the first are the same
    for one in both:
        one.page.context.close()


def test_another_persons_correction_is_shown(
    browser: Browser, fresh: Site, reviewer: Reviewer
) -> None:
    anna = Reviewer(visit(browser, fresh, "anna"))
    anna.wait()
    anna.press("b a")
    wait_for(fresh, 1, anna.page)
    reviewer.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(reviewer.find("#title")).to_contain_text("corrected")
    expect(reviewer.find(".box")).to_have_count(2)
    reviewer.press("s")  # does not cover it
    wait_for(fresh, 2, anna.page)
    reviewer.expect_done(1, POOL)
    anna.page.context.close()


def test_two_tabs_keep_each_others_unsent_decisions(fresh: Site, reviewer: Reviewer) -> None:
    pages = [reviewer.page, reviewer.page.context.new_page()]
    pages[1].goto(fresh.url + fresh.page)
    tabs = [Reviewer(page) for page in pages]
    tabs[1].wait()
    for page in pages:
        page.route("**/decisions", lambda route: route.abort())
    tabs[0].press("r r")
    tabs[1].press("n n n s")
    wait_until_unsent(pages[0], 3)  # what one tab keeps comes to the other in a moment
    pages[0].unroute("**/decisions")
    wait_for(fresh, 2, pages[0])
    wait_until_unsent(pages[1], 1)
    pages[1].unroute("**/decisions")
    found = wait_for(fresh, 3, pages[1])
    assert [each["action"] for each in found] == ["reject", "reject", "skip"]


def test_a_login_that_ended_keeps_the_decision(fresh: Site, reviewer: Reviewer) -> None:
    page, context = reviewer.page, reviewer.page.context

    def log_in(token: str) -> None:
        context.add_cookies([{"name": "_token", "value": token, "url": fresh.url}])

    log_in(fresh.login("uma")[:-4] + "AAAA")
    reviewer.press("r")
    expect(reviewer.find("#trouble")).to_contain_text("log in to Airflow again")
    log_in(fresh.login("anna"))
    expect(reviewer.find("#trouble")).to_contain_text("uma gave this answer", timeout=120_000)
    assert decisions(fresh.run) == []
    log_in(fresh.login("uma"))
    for _ in range(600):
        page.wait_for_timeout(100)
        if decisions(fresh.run):
            break
    assert [one["author"] for one in decisions(fresh.run)] == ["uma"]


def test_keys_can_be_switched_off(fresh: Site, reviewer: Reviewer) -> None:
    reviewer.find("#keys").uncheck()
    reviewer.find("#title").click()
    reviewer.press("r")
    reviewer.expect_done(0, POOL)
    reviewer.page.reload()
    reviewer.wait()
    expect(reviewer.find("#keys")).not_to_be_checked()


def test_a_small_box_can_be_moved(fresh: Site, reviewer: Reviewer) -> None:
    stage = reviewer.stage()
    reviewer.drag((stage.x + 5, stage.y + 5), (stage.x + 25, stage.y + 25))
    before = reviewer.box(1)
    for _ in range(2):
        reviewer.drag((before.x + 10, before.y + 10), (before.x + 40, before.y + 40))
        after = reviewer.box(1)
        assert (after.width, after.height) == pytest.approx((before.width, before.height), abs=1)
        assert after.x == pytest.approx(before.x + 30, abs=1)
        before = after


def test_a_pinch_draws_nothing(browser: Browser, fresh: Site) -> None:
    page = visit(browser, fresh, has_touch=True, is_mobile=True)
    reviewer = Reviewer(page)
    reviewer.wait()
    stage, session = reviewer.stage(), page.context.new_cdp_session(page)
    first, second = (stage.x + 20, stage.y + 20), (stage.x + 60, stage.y + 60)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        said = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": said})

    touch("touchStart", first)
    touch("touchStart", first, second)
    for step in range(6):
        touch("touchMove", first, (second[0] + 15 * step, second[1] + 15 * step))
    touch("touchEnd")
    expect(reviewer.find(".box")).to_have_count(1)
    expect(reviewer.find("#accept-word")).to_have_text("Accept")
    page.context.close()
