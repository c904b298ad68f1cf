"""Price histories, changes of fights, and the page of a fight with its prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from ledger.contracts.codec import decode_report
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import CardReport
from ledger.ledger import Ledger
from producer.feed_runner.fight_changes import record_fight_changes
from tests.support.pools import ROOT

BELL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
NOW = BELL - timedelta(days=1, minutes=5)
GOLDEN = Path(ROOT) / "tests/golden/report_card.json"


def card(report: CardReport, ana: float = 2.0) -> PredictCard:
    """The card that the report answers, with one bookmaker."""
    fights = []
    for each in report.fights:
        one, other = each.names if hasattr(each, "names") else [side.name for side in each.fighters]
        quotes = (Quote(bookmaker="a", prices={one: ana, other: 1.5}, commission=0.05),)
        fights.append(Fight(id=each.id, fighters=(Fighter(name=one), Fighter(name=other)), quotes=quotes))
    return PredictCard(card_id=report.card_id, event_start=BELL, fights=tuple(fights))


@pytest.fixture(scope="module")
def report(gateway_ledger: Ledger) -> CardReport:
    """An answered card, whose prices were read three times, and whose last fight has vanished."""
    answered = decode_report(GOLDEN.read_bytes())
    assert isinstance(answered, CardReport)
    for minutes, price in ((-120, 2.0), (-60, 2.5), (-5, 2.1)):
        gateway_ledger.prices.record_cards([card(answered, price)], NOW + timedelta(minutes=minutes))
    gateway_ledger.submit(card(answered))
    [claim] = gateway_ledger.claim("predict", "test#1")
    gateway_ledger.settle(claim, answered)
    gateway_ledger.feeds.leases.join("live", "one", source="x", lease_seconds=60)
    whole = card(answered)
    for minutes in (0, 1, 10, 21):
        listed = whole if not minutes else msgspec.structs.replace(whole, fights=whole.fights[:-1])
        record_fight_changes(gateway_ledger, "live", [listed], NOW - timedelta(minutes=30 - minutes))
    return answered


def get(http: httpx.Client, path: str, status: int = 200, **query: Any) -> Any:
    reply = http.get(path, params=query)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_a_history_and_the_quotes_at_a_moment(http: httpx.Client, report: CardReport) -> None:
    path = f"/v1/fights/{report.fights[0].id}/prices"
    found = get(http, path)
    assert len(found["changes"]) == 4
    assert found["start"] == BELL.isoformat().replace("+00:00", "Z")
    assert list(found["quotes"][0]["prices"].values()).count(2.1) == 1
    earlier = get(http, path, at=(NOW - timedelta(minutes=61)).isoformat())
    assert "changes" not in earlier
    assert (earlier["quotes"][0]["commission"], sorted(earlier["quotes"][0]["prices"].values())) == (0.05, [1.5, 2.0])
    assert get(http, path, at=(NOW - timedelta(days=9)).isoformat())["quotes"] == []
    assert "time zone" in get(http, path, 400, at="2026-08-22T12:00:00")["detail"]
    assert "no prices" in get(http, "/v1/fights/other/prices", 404)["detail"]


def test_changes_of_fights(http: httpx.Client, report: CardReport) -> None:
    [change] = get(http, "/v1/feeds/live/changes")["changes"]
    assert (change["kind"], change["fight_id"]) == ("withdrawn", report.fights[-1].id)
    assert get(http, "/v1/feeds/live/changes")["pending"] == []
    get(http, "/v1/feeds/other/changes", 404)


def test_the_page_of_a_fight_draws_the_price_history(http: httpx.Client, report: CardReport) -> None:
    fight = next(each for each in report.fights if hasattr(each, "fighters"))
    page = http.get(f"/cards/{report.card_id}/fights/{fight.id}", headers={"Accept": "text/html"}).text
    assert '<path class="line market" d="M0.00' in page  # one answer alone makes no drawing
    vanished = http.get(f"/cards/{report.card_id}", headers={"Accept": "text/html"}).text
    assert vanished.count("stopped listing this bout") == 1
