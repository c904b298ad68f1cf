"""A real browser for tests of the pages: Debian's Chromium, driven by Playwright, and what it must not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, LocatorAssertions, Page, Request, Response

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parents[2] / "build" / "node" / "node_modules" / "axe-core" / "axe.min.js"
"""An npm package, and no part of this tree."""
FLAGS = (
    "--no-sandbox",  # Chromium has none for root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
THEMES = ("light", "dark")
WIDTHS = (360, 768, 1440)
TIMEOUT_MS = 20_000
_AXE_RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"


def axe_source() -> str:
    """Return the source of axe-core; skip the test without it."""
    if not AXE.exists():
        pytest.skip("axe-core is not here: npm install --prefix build/node axe-core")
    return AXE.read_text()


def expect(locator: Locator) -> LocatorAssertions:
    """Return assertions about a locator that wait until they hold: no click waits for the page that it opens."""
    from playwright.sync_api import expect as waiting_expect

    return waiting_expect(locator)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser for the duration of a block; skip the test without one."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="there is no Playwright here: pip install playwright")
    api.expect.set_options(timeout=TIMEOUT_MS)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page of a site in the browser, and what it has done so far.

    Attributes
    ----------
    expected
        Statuses of answers that a test asks for although they are errors.
    """

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def open(self, path: str, *, wait_until: Any = "load") -> Page:
        """Open a path of the site and return the page."""
        self.page.goto(f"{self.url}{path}", wait_until=wait_until)
        return self.page

    def note_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.errors.append(f"{response.status} {response.url}")

    def note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def check(self) -> None:
        """Assert that nothing went wrong and that nothing was asked of another host."""
        expected = [f"status of {status}" for status in self.expected]
        assert [error for error in self.errors if not any(words in error for words in expected)] == []
        home = urlsplit(self.url).netloc
        assert [url for url in self.requests if urlsplit(url).netloc != home] == []

    def violations(self, source: str) -> list[str]:
        """Return the serious and critical findings of axe-core on the page as it is."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(source)
        return [
            f"{found['impact']} {found['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
            for found in self.page.evaluate(_AXE_RUN)
            if found["impact"] in ("serious", "critical")
            for node in found["nodes"]
        ]


@contextmanager
def visiting(browser: Browser, url: str, **context: Any) -> Iterator[Visit]:
    """Open an empty page of a browser context of its own, and check what it did at the end of the block."""
    opened = browser.new_context(**{"viewport": {"width": 1024, "height": 800}, **context})
    page = opened.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    visit = Visit(page, url)
    page.on(
        "console", lambda message: visit.errors.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("response", visit.note_response)
    page.on("request", visit.note_request)
    try:
        yield visit
        visit.check()
    finally:
        opened.close()
