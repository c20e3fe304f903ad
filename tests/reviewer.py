"""A reviewer made of a script: a real Chromium, its keyboard and its mouse, on the review page."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the Chromium of this machine, or skip the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)} is on the PATH")
    expect.set_options(timeout=120_000)  # others may use the machine
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Shown(NamedTuple):
    """Where a box lies on the screen, in its pixels."""

    x: float
    y: float
    width: float
    height: float


class Reviewer:
    """Somebody at the review page.

    Args:
        page: the browser's tab.
        frame: the frame that holds the review page, if it is in one.
    """

    def __init__(self, page: Page, frame: FrameLocator | None = None) -> None:
        self.page = page
        self.review: Page | FrameLocator = frame or page

    def find(self, selector: str) -> Locator:
        """Return what a CSS selector finds on the review page."""
        return self.review.locator(selector)

    def wait(self) -> None:
        """Wait until the page is there; then the keyboard is its."""
        expect(self.find("main")).to_be_visible()
        self.find("#title").click()

    def press(self, keys: str) -> None:
        """Press keys, one after the other, as soon as each image is there."""
        for key in keys.split():
            expect(self.find("#picture")).to_be_visible()
            self.page.keyboard.press(key)

    def expect_done(self, count: int, of: int) -> None:
        """Wait until so many images are decided, and nothing is left to be saved."""
        expect(self.find("#counts")).to_have_text(re.compile(f"^{count} of {of} decided"))
        expect(self.find("#trouble")).to_be_hidden()

    def box(self, number: int = 0) -> Shown:
        """Return where a box is drawn."""
        found = self.find(".box").nth(number).bounding_box()
        assert found is not None
        return Shown(found["x"], found["y"], found["width"], found["height"])

    def stage(self) -> Shown:
        """Return where the image is drawn."""
        found = self.find("#boxes").bounding_box()
        assert found is not None
        return Shown(found["x"], found["y"], found["width"], found["height"])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the left button, in a few steps, as a hand does."""
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=5)
        self.page.mouse.up()

    def go_on(self) -> None:
        """Say that the review is done, and confirm it."""
        expect(self.find("#done")).to_be_enabled(timeout=60_000)
        self.find("#done").click()
        self.find("#ask-yes").click()
        expect(self.find("#says")).to_have_text("The run goes on. Thank you.")
