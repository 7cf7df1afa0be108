"""A real browser for tests, and what a page in it said and asked for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api",
    reason="the package playwright is not installed; it is part of the extra `dev`",
)

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESK = 390, 1280
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason="Chromium is not installed; on Debian: apt-get install chromium (`make browser`)",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser, and close it."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@dataclass
class Opened:
    """A page with all that it said and asked for."""

    page: Any
    url: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
