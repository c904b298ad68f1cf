"""What the pages of a site are like in each theme and at each width, from one load of each page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.browsers import AXE, THEMES, WIDTHS, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HEIGHT = 900
PICTURES = os.environ.get("PAGE_PICTURES")
"""Folder for screenshots of every page, in both themes and all widths; by default none are kept."""


@dataclass(frozen=True)
class Appearance:
    """A page in one theme: its background, its width at each width of the window, and the findings of axe-core."""

    paper: str
    scroll_widths: Mapping[int, int]
    violations: Sequence[str]


@dataclass(frozen=True)
class PageSurvey:
    """A page that was loaded once: its headings, its size, the bytes that were sent for it, and its appearance."""

    headings: int
    document_bytes: int
    sent_bytes: float
    themes: Mapping[str, Appearance]


def survey_pages(
    browser: Browser, url: str, paths: Mapping[str, str], *, widths: Sequence[int] = WIDTHS, pictures: str | None = None
) -> dict[str, PageSurvey]:
    """Load each page once without a cache, change the theme and the window, and note what it is like.

    `pictures` begins the names of screenshots. A page that does anything wrong fails the survey. Without axe-core,
    there are no findings: tests of them ask for `axe_source`.
    """
    source = AXE.read_text() if AXE.exists() else None
    found = {}
    with visiting(browser, url, reduced_motion="reduce") as visit:
        session = visit.page.context.new_cdp_session(visit.page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        sent: list[float] = []
        session.on("Network.loadingFinished", lambda event: sent.append(event["encodedDataLength"]))
        for name, path in paths.items():
            sent.clear()
            page = visit.open(path)
            headings, size = page.locator("h1").count(), len(page.content().encode())
            sent_bytes = sum(sent)
            themes = {}
            for theme in THEMES:
                page.emulate_media(color_scheme=theme)
                scroll_widths: dict[int, Any] = {}
                for width in widths:
                    page.set_viewport_size({"width": width, "height": HEIGHT})
                    scroll_widths[width] = page.evaluate("document.documentElement.scrollWidth")
                    if PICTURES and pictures is not None:
                        Path(PICTURES).mkdir(parents=True, exist_ok=True)
                        page.screenshot(path=Path(PICTURES) / f"{pictures}{name}-{theme}-{width}.png", full_page=True)
                paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
                violations = visit.violations(source) if source is not None else []
                themes[theme] = Appearance(paper, scroll_widths, violations)
            found[name] = PageSurvey(headings, size, sent_bytes, themes)
    return found
