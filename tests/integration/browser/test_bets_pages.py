"""The pages of bets in a real browser, with bets and a review in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ledger.contracts.bets import PlacedBet
from tests.support.bets import BETS_REPORT, settled_review
from tests.support.browsers import THEMES, Visit, axe_source, expect
from tests.support.page_surveys import PageSurvey, survey_pages
from tests.support.stocked_site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATHS = ("/bets", "/bets?mode=live", "/bets/review", "/bets/review?mode=live")
WIDTHS = (360, 1440)


@pytest.fixture(scope="module")
def bets(site: Site) -> Site:
    site.ledger.controls.set({"max_fight_exposure": 11}, user="ann", reason="a test")  # of 1,000,000: 1,100
    for name in ("open", "won", "lost"):
        bet = PlacedBet(
            bet_id=name,
            job_id="job",
            card_id="card",
            fight_id=f"fight {name}",
            event_start=datetime(2099, 1, 3, 4, tzinfo=UTC),
            fighters=("Wolfeschlegelsteinhausenbergerdorff", "Bea"),
            fighter="Wolfeschlegelsteinhausenbergerdorff",
            bookmaker="North",
            price=2.5,
            stake=1000,
            who="ann",
        )
        site.ledger.bets.place(bet)
        if name != "open":
            site.ledger.bets.settle({name: name}, user="ann")
    settled_review(site.ledger, BETS_REPORT)
    return site


@pytest.fixture(scope="module")
def pages(browser: Browser, bets: Site) -> dict[str, PageSurvey]:
    return survey_pages(browser, bets.url, {path: path for path in PATHS}, widths=WIDTHS)


@pytest.mark.parametrize("theme", THEMES)
def test_every_page_fits_and_axe_finds_nothing(pages: dict[str, PageSurvey], theme: str) -> None:
    axe_source()
    for path, page in pages.items():
        assert page.headings == 1
        for width in WIDTHS:
            assert page.themes[theme].scroll_widths[width] <= width, path
        assert page.themes[theme].violations == [], path


def test_a_bar_shows_how_full_a_cap_is_and_a_new_review_appears(visit: Visit, bets: Site) -> None:
    page = visit.open("/")
    page.get_by_role("link", name="Bets", exact=True).click()
    expect(page.get_by_role("img", name="91% of the cap of 1,100")).to_have_count(1)
    page.get_by_text("Live", exact=True).wait_for()
    settled_review(bets.ledger, replace(BETS_REPORT, rules_tried=77))
    page.locator("#review", has_text="77").wait_for()
    page.get_by_role("link", name="Show the whole review").click()
    expect(page.get_by_role("img", name="Bankroll after each event")).to_have_count(1)
    expect(page.locator("main")).to_contain_text("77 were tried")
