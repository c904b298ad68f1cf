"""The pages of bets, without a browser: account, stakes, ended bets, the latest review, and who may ask for one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from gateway.security.caller import Role
from ledger.contracts.bets import PlacedBet
from ledger.ledger import Ledger
from tests.support.bets import BETS_REPORT, settled_review
from tests.support.gateways import GatewayProcess

HTML = {"Accept": "text/html"}
NAME = "Ana <i>O'Hara</i>"


def bet(**changes: Any) -> PlacedBet:
    usual = PlacedBet(
        job_id="job",
        card_id="card",
        fight_id="fight",
        event_start=datetime(2099, 1, 3, 4, tzinfo=UTC),
        fighters=(NAME, "Bea"),
        fighter=NAME,
        bookmaker="North",
        price=2.5,
        stake=1000,
        probability=0.45,
        who="ann",
    )
    return replace(usual, **changes)


@pytest.fixture(scope="module")
def stocked(gateway_ledger: Ledger) -> Ledger:
    """An open, a won, a lost and a void paper bet, with a cap on fights."""
    gateway_ledger.controls.set({"max_fight_exposure": 20}, user="ann", reason="a test")  # of the bankroll: 2,001
    for name in ("open", "won", "lost", "void"):
        gateway_ledger.bets.place(bet(bet_id=name, fight_id=name))
    gateway_ledger.bets.settle({"won": "won", "lost": "lost"}, user="ann")
    gateway_ledger.bets.void(["void"], user="ann", reason="no bout")
    return gateway_ledger


def words(http: httpx.Client, path: str) -> str:
    """The text of a page, without its tags."""
    reply = http.get(path, headers=HTML)
    assert reply.status_code == 200, reply.text
    assert "<i>O'Hara" not in reply.text
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", reply.text)))


def test_the_page_shows_the_account_and_each_bet_once(http: httpx.Client, stocked: Ledger) -> None:
    text = words(http, "/bets")
    for shown in ("Paper bets", "Profit +500 of 2,000 staked", "At stake 1,000 1 open bet", "1 won, 1 lost, 1 void"):
        assert shown in text
    assert f"{NAME} {NAME} v Bea 2099-01-03 04:00 UTC North 2.5 1,000 45.0% ann" in text
    assert [found in text for found in ("won +1,500", "lost -1,000", "void +0")] == [True, True, True]
    assert "fight open 1,000 50% of the cap of 2,001" in text
    assert "bookmaker North 1,000 no cap" in text
    assert "No review of these bets is held" in text
    live = words(http, "/bets?mode=live")
    assert "Live bets" in live
    assert NAME not in live
    assert http.get("/bets?mode=other", headers=HTML).status_code == 400


def test_the_latest_review_is_shown(http: httpx.Client, stocked: Ledger) -> None:
    settled_review(stocked, replace(BETS_REPORT, mode="live"))
    assert "No review of these bets is held" in words(http, "/bets")
    settled_review(stocked, BETS_REPORT)
    settled_review(stocked, replace(BETS_REPORT, rules_tried=77))
    assert "Rules tried 77" in words(http, "/bets")
    review = http.get("/bets/review", headers=HTML).text
    assert review.count('<svg class="chart"') == 2
    text = words(http, "/bets/review")
    for shown in ("77 were tried", "too uncertain", "50% to 60%", "Bankroll after each event: from 1,000,000 before"):
        assert shown in text


def test_producers_ask_for_a_review_and_readers_do_not(gateway: GatewayProcess, stocked: Ledger) -> None:
    audit = {"user": "test", "reason": "a test"}
    tokens = {role: stocked.tokens.create(f"the-{role}", role, **audit).text for role in Role}
    for role, status in ((Role.READER, 403), (Role.PRODUCER, 303), (Role.OPERATOR, 303)):
        with gateway.client() as browser:
            token = re.search(r'name="form_token" value="([^"]+)"', browser.get("/login", headers=HTML).text)
            assert token is not None
            browser.post("/login", data={"form_token": token[1], "token": tokens[role], "next": "/bets"})
            html = browser.get("/bets", headers=HTML).text
            assert ("Review now" in html) == (status == 303)
            token = re.search(r'name="form_token" value="([^"]+)"', html)
            assert token is not None
            sent = browser.post("/bets/review", data={"form_token": token[1], "mode": "paper"})
            assert sent.status_code == status, sent.text
            wrong = browser.post("/bets/review", data={"form_token": token[1], "mode": "both"})
            assert wrong.status_code == (403 if status == 403 else 422)
    asked = [job.caller for job in stocked.job_index.page().jobs if job.kind == "review_bets"]
    assert asked[:2] == ["the-operator", "the-producer"]
