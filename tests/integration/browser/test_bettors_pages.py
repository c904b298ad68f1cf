"""The pages of bettors in a real browser, with a real gateway, server and pool behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.browsers import THEMES, WIDTHS, Visit, axe_source, expect, visiting
from tests.support.page_surveys import PageSurvey, survey_pages
from tests.support.stocked_site import CARD, FAILED_CARD, PRICE_STEPS, STRANGE_CARD, Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MAX_PAGE_BYTES = 100_000


def card_path(card_id: str) -> str:
    return f"/cards/{quote(card_id, safe='')}"


def fight_path(site: Site, place: int = 0) -> str:
    return f"{card_path(CARD)}/fights/{quote(site.card.fights[place].id, safe='')}"


@pytest.fixture(scope="module")
def paths(site: Site) -> dict[str, str]:
    return {
        "cards": "/",
        "card": card_path(CARD),
        "fight": fight_path(site),
        "failed-fight": fight_path(site, -1),
        "failed-card": card_path(FAILED_CARD),
        "record": "/record",
        "strange-card": card_path(STRANGE_CARD),
        "login": "/login",
    }


@pytest.fixture(scope="module")
def pages(browser: Browser, site: Site, paths: dict[str, str]) -> dict[str, PageSurvey]:
    return survey_pages(browser, site.url, paths, pictures="")


def test_every_page_opens_and_is_light(pages: dict[str, PageSurvey]) -> None:
    for name, page in pages.items():
        assert page.headings == 1, name
        assert page.sent_bytes > 0
        assert page.sent_bytes < MAX_PAGE_BYTES, (name, page.sent_bytes)
        assert page.document_bytes < MAX_PAGE_BYTES, (name, page.document_bytes)
        print(f"{name}: {page.sent_bytes:,.0f} bytes sent, document {page.document_bytes:,} bytes")  # noqa: T201 - with -s


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_in_both_themes(pages: dict[str, PageSurvey], theme: str, width: int) -> None:
    for name, page in pages.items():
        assert page.themes[theme].scroll_widths[width] <= width, name
        assert (page.themes[theme].paper == "rgb(255, 255, 255)") == (theme == "light")


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious(pages: dict[str, PageSurvey], theme: str) -> None:
    axe_source()
    for name, page in pages.items():
        assert page.themes[theme].violations == [], name


def test_a_card_shows_each_fight_as_a_picture_and_in_words(visit: Visit, site: Site) -> None:
    page = visit.open("/")
    page.get_by_role("link", name=CARD).click()
    fights = page.locator("#fights article")
    expect(fights).to_have_count(len(site.card.fights))
    first = fights.first
    names = [fighter.name for fighter in site.card.fights[0].fighters]
    for name in names:
        label = first.get_by_role("img", name=re.compile(re.escape(name))).get_attribute("aria-label") or ""
        for words in ("80% interval", "95% interval", "market", "best price", "pay"):
            assert words in label, label
    expect(first).to_contain_text("pays from")
    expect(first).to_contain_text(f"{len(PRICE_STEPS)} answers")
    failed = page.locator("article.failed")
    expect(failed).to_contain_text("unknown_fighter")
    expect(failed).to_contain_text("Correct the spelling")


def test_a_failed_job_is_shown_with_its_code_and_what_to_do(visit: Visit) -> None:
    page = visit.open("/")
    entry = page.locator("article", has_text=FAILED_CARD)
    expect(entry).to_contain_text("model_not_found")
    page.get_by_role("link", name=FAILED_CARD).click()
    notice = page.locator(".notice.bad")
    expect(notice).to_contain_text("model_not_found")
    expect(notice).to_contain_text("cornerman models")


def test_an_answer_appears_without_a_reload(visit: Visit, site: Site) -> None:
    page = visit.open(card_path(CARD))
    page.get_by_text("Live", exact=True).wait_for()
    page.evaluate("window.mark = 'still here'")
    before = page.locator("#answer").inner_text()
    site.answer(site.repriced(1.2))
    page.get_by_text(re.compile("^Updated ")).wait_for()
    assert page.locator("#answer").inner_text() != before
    assert page.evaluate("window.mark") == "still here"


def test_the_list_of_cards_is_live_too(visit: Visit, site: Site) -> None:
    import msgspec

    page = visit.open("/")
    page.get_by_text("Live", exact=True).wait_for()
    site.answer(msgspec.structs.replace(site.card, card_id="a new card"))
    page.get_by_role("link", name="a new card").wait_for()


def test_a_replay_shows_its_verdict_without_a_reload(visit: Visit, site: Site) -> None:
    page = visit.open(fight_path(site))
    page.get_by_role("button", name="Replay this answer").click()
    page.get_by_text("Every bit is the same").wait_for()
    assert "replay=" in page.url


def test_a_fight_has_its_history_and_older_answers(visit: Visit, site: Site) -> None:
    page = visit.open(fight_path(site))
    expect(page.get_by_role("img", name=re.compile("answers:"))).to_have_count(1)
    expect(page.locator("#contributions").get_by_text("corner", exact=True)).to_have_count(1)
    rows = page.locator("#history tbody tr")
    assert rows.count() >= len(PRICE_STEPS)
    rows.last.get_by_role("link").click()
    page.get_by_text("This is an older answer.").wait_for()
    page.get_by_role("link", name="Show the newest").click()
    expect(page.get_by_text("This is an older answer.")).to_have_count(0)


def test_everything_works_without_a_script(browser: Browser, site: Site) -> None:
    with visiting(browser, site.url, java_script_enabled=False) as visit:
        page = visit.open("/")
        page.get_by_role("link", name=CARD).click()
        page.locator("#fights article h3 a").first.click()
        page.get_by_role("button", name="Replay this answer").click()
        page.wait_for_url("**replay=*")  # a reload before that would take the form back
        for _ in range(100):
            if page.get_by_text("Every bit is the same").count():
                break
            page.reload()
        expect(page.get_by_text("Every bit is the same")).to_have_count(1)
        page.get_by_role("button", name="Dark").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.get_by_text("Every bit is the same")).to_have_count(1)  # the same page
        page.get_by_role("link", name="Record").click()
        page.wait_for_url("**/record")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_pages_can_be_walked_by_keyboard(visit: Visit) -> None:
    page = visit.open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    seen: list[str] = []
    while f"A {CARD}" not in seen:
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        seen.append(page.evaluate("document.activeElement.tagName + ' ' + document.activeElement.textContent"))
        assert len(seen) < 50
    page.keyboard.press("Enter")
    page.wait_for_url("**/cards/**")


def test_the_record_counts_what_happened(visit: Visit) -> None:
    page = visit.open("/record")
    facts = page.locator("dl.facts").inner_text()
    assert re.search(r"With a winner\s+4", facts), facts
    expect(page.locator("main")).to_contain_text("Too few results to judge")
    expect(page.get_by_role("img", name=re.compile("Share of likelier fighters"))).to_have_count(1)
    expect(page.locator("table", has_text="no result yet")).to_have_count(1)


def test_an_unknown_card_says_what_to_do(visit: Visit) -> None:
    visit.expected.add(404)
    page = visit.open("/cards/nobody")
    expect(page.locator("main")).to_contain_text("no job of a card 'nobody'")
    expect(page.get_by_role("link", name="Start page")).to_have_count(1)
