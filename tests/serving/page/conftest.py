"""The page in a browser: what its tests share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from tests.browser import DESK, Opened, chromium


class View(Opened):
    """The server's page."""

    def show(self, **settings: Any) -> None:
        """Open a view, as a shared link does."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#{urlencode(settings)}")
        self.page.wait_for_selector("body[data-ready]")

    def done(self, columns: int = 1) -> None:
        """Wait until all columns of the view have come to their end."""
        self.page.wait_for_function(
            "(count) => document.querySelectorAll('section:not([hidden])"
            " .column[aria-busy=false]').length === count",
            arg=columns,
        )

    def text(self, column: int = 0) -> str:
        written: str = (
            self.page.locator(".column").nth(column).locator(".tokens").first.inner_text()
        )
        return written

    def settings(self) -> dict[str, str]:
        return {
            name: values[0]
            for name, values in parse_qs(
                self.page.url.partition("#")[2], keep_blank_values=True
            ).items()
        }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def open_page(browser: Any, url: str, width: int, scheme: str) -> View:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    return View(context.new_page(), url)


@pytest.fixture(scope="module")
def desk_page(browser: Any, site: Any) -> Iterator[View]:
    opened = open_page(browser, site.url, DESK, "light")
    yield opened
    opened.page.context.close()


@pytest.fixture
def desk(desk_page: View) -> Iterator[View]:
    """The page on a desk.

    After each test it has said nothing on the console, and asked no other host.
    """
    desk_page.said.clear()
    yield desk_page
    assert desk_page.said == []
    assert {
        re.sub(r"^blob:", "", url).startswith((desk_page.url, "about:", "data:"))
        for url in desk_page.asked
    } == {True}
