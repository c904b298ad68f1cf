"""The pages of operators in a real browser, with a real gateway, server and pool behind them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ledger.contracts.jobs import CheckHealth, ReviewModel, TrainEnsemble
from ledger.contracts.schedules import Schedule
from tests.support.browsers import THEMES, WIDTHS, Visit, axe_source, expect, visiting
from tests.support.dead_letters import dead_letter
from tests.support.page_surveys import PageSurvey, survey_pages
from tests.support.stocked_site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MAX_PAGE_BYTES = 100_000

Until = Callable[..., None]


@pytest.fixture(scope="module")
def paths(site: Site) -> dict[str, str]:
    letter = dead_letter(site.ledger, TrainEnsemble(data="nowhere"))
    answered = site.ledger.submit(CheckHealth(nonce=uuid.uuid4().hex)).job_id
    site.ledger.wait(answered, 60)
    site.ledger.controls.set({"max_threads": 2}, user="ann@desk", reason="the machine has two")
    nightly = Schedule(name="nightly", cron="30 2 * * *", jobs=(ReviewModel(),))
    site.ledger.schedules.put(nightly, user="ann@desk", reason="every night")
    site.ledger.schedules.run_now("nightly", user="ann@desk", reason="to see it")
    return {
        "overview": "/operations",
        "jobs": "/operations/jobs",
        "job": f"/operations/jobs/{letter}",
        "answered-job": f"/operations/jobs/{answered}",
        "dead-letters": "/operations/dead-letters",
        "controls": "/operations/controls",
        "schedules": "/operations/schedules",
        "models": "/operations/models",
        "model": "/operations/models/champion",
        "audit": "/operations/audit",
        "runbook": "/operations/runbook",
    }


@pytest.fixture(scope="module")
def pages(browser: Browser, site: Site, paths: dict[str, str]) -> dict[str, PageSurvey]:
    return survey_pages(browser, site.url, paths, pictures="operations-")


def test_every_page_opens_and_is_light(pages: dict[str, PageSurvey]) -> None:
    for name, page in pages.items():
        assert page.headings == 1, name
        assert page.document_bytes < MAX_PAGE_BYTES, name


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_in_both_themes(pages: dict[str, PageSurvey], theme: str, width: int) -> None:
    for name, page in pages.items():
        assert page.themes[theme].scroll_widths[width] <= width, name


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious(pages: dict[str, PageSurvey], theme: str) -> None:
    axe_source()
    for name, page in pages.items():
        assert page.themes[theme].violations == [], name


def test_the_overview_answers_what_is_wrong_and_leads_to_what_to_do(visit: Visit, paths: dict[str, str]) -> None:
    page = visit.open(paths["overview"])
    alerts = page.locator("#alerts article")
    expect(alerts.filter(has_text="DeadLetters")).to_have_count(1)
    expect(page.locator("#pools tbody tr")).to_have_count(1)
    assert page.locator("#pools").get_by_role("img").get_attribute("aria-label")
    alerts.filter(has_text="DeadLetters").get_by_role("link", name="Runbook").click()
    page.wait_for_url("**/operations/runbook#deadletters")
    expect(page.get_by_role("heading", name="DeadLetters", exact=True)).to_be_visible()


def test_a_paused_queue_appears_on_an_open_overview_and_is_resumed(
    browser: Browser, site: Site, visit: Visit, paths: dict[str, str]
) -> None:
    overview = visit.open(paths["overview"])
    with visiting(browser, site.url) as other:
        controls = other.open(paths["controls"])
        controls.get_by_label("Reason to pause monitor").fill("repairs")
        controls.get_by_role("button", name="Pause monitor").click()
        overview.locator("#alerts article", has_text="repairs").wait_for()
        expect(overview.locator("#queues tr", has_text="monitor").get_by_text("paused")).to_be_visible()
        controls.get_by_label("Reason to resume monitor").fill("done")
        controls.get_by_role("button", name="Resume monitor").click()
        overview.locator("#alerts article", has_text="repairs").wait_for(state="detached")
    assert [change.why for change in site.ledger.controls.changes(2, "pause.monitor")] == ["done", "repairs"]


def test_dead_letters_are_requeued_and_purged_by_their_buttons(
    browser: Browser, site: Site, paths: dict[str, str], until: Until
) -> None:
    first, second = (dead_letter(site.ledger, TrainEnsemble(data=f"nowhere {number}")) for number in (1, 2))
    with visiting(browser, site.url, java_script_enabled=False) as visit:
        page = visit.open(paths["dead-letters"])
        page.get_by_label(f"Choose {first}").check()
        page.get_by_role("button", name="Requeue the chosen").click()
        expect(page.get_by_role("heading", name="1 job queued again")).to_be_visible()
        page.get_by_role("link", name=f"{first}~2").click()
        expect(page.get_by_text("Repeats the dead letter")).to_be_visible()
        page.get_by_role("button", name="Cancel the job").click()
        expect(page.locator("#state .badge", has_text="cancelled")).to_be_visible()
        page = visit.open(paths["dead-letters"])
        page.get_by_label(f"Choose {second}").check()
        page.get_by_role("button", name="Purge the chosen").click()
        expect(page.get_by_role("heading", name="1 dead letter purged")).to_be_visible()
    left = {letter.job_id for letter in site.ledger.dead_letters.newest()}
    assert not left & {first, second}


def test_a_job_is_found_and_computed_again(visit: Visit, site: Site, paths: dict[str, str]) -> None:
    job_id = paths["answered-job"].rpartition("/")[2]
    page = visit.open(paths["jobs"])
    page.get_by_label("Job", exact=True).fill(job_id)
    page.get_by_role("button", name="Search").click()
    page.wait_for_url(f"**{paths['answered-job']}")
    page.locator("td", has_text="succeeded").first.wait_for()
    page.get_by_text("Provenance").click()
    expect(page.locator("#provenance pre")).to_be_visible()
    page.get_by_role("button", name="Compute it again").click()
    page.locator("#state .badge", has_text="succeeded").or_(page.locator("#state .badge", has_text="failed")).wait_for()


def test_a_conflict_is_said_and_changes_nothing(visit: Visit, site: Site, paths: dict[str, str]) -> None:
    page = visit.open(paths["controls"])
    site.ledger.controls.set({"max_threads": 3}, user="ben@desk", reason="a third")
    visit.expected.add(409)
    panel = page.locator(".panel", has=page.locator("h3", has_text="max_threads"))
    panel.locator("input[name=reason]").fill("done")
    panel.get_by_role("button").click()
    expect(page.get_by_role("alert").get_by_text("max_threads is 3 by now")).to_be_visible()
    assert site.ledger.controls.current().number("max_threads") == 3
