"""A real Chromium for the pages that we write: a fresh profile a test, and nothing beyond this machine answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
"""What a Chromium is called on this path, the first that is there."""

LOOPBACK = ("127.0.0.1", "localhost")

DEAD_PROXY = "http://127.0.0.1:9"
"""Nothing listens on the discard port: what is not loopback is asked of it, and refused."""

FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)


@dataclass(frozen=True)
class Tab:
    """One page of a browser that was started for one test.

    Attributes:
        page: What Playwright drives.
        outside: Addresses beyond this machine that the page asked for; none of them got an answer.
        complaints: Errors of the page's console: refusals of the page's own policy, and scripts that failed.
    """

    page: Page
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def watch(tab: Tab) -> None:
    """Keep what the tab asks for beyond this machine, and what its console calls an error."""

    def note_request(request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in {"http", "https", "ws", "wss"} and address.hostname not in LOOPBACK:
            tab.outside.append(request.url)

    def note_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            tab.complaints.append(message.text)

    tab.page.on("request", note_request)
    tab.page.on("console", note_console)
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))


@contextmanager
def opened_tab() -> Iterator[Tab]:
    """Start a Chromium, and end it with the block.

    Playwright keeps an event loop in this thread meanwhile: code under test that runs one of its own (``asyncio.run``)
    goes before the block, or into a thread.
    """
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program,
            args=list(FLAGS),
            chromium_sandbox=False,
            proxy={"server": DEAD_PROXY, "bypass": ",".join(LOOPBACK)},
        )
        try:
            tab = Tab(browser.new_page())
            watch(tab)
            yield tab
        finally:
            browser.close()


@pytest.fixture
def tab() -> Iterator[Tab]:
    """A page of a Chromium of this test's own."""
    with opened_tab() as opened:
        yield opened
