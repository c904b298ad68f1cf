"""Bets over HTTP: recorded as they were taken, refused by the caps, read and voided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ledger.contracts.bets import default_bet_id
from ledger.ledger import Ledger
from tests.support.answered_cards import answer_card, card_of


@pytest.fixture
def job(gateway_ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[str]:
    """An answered card of this test alone; afterwards no control is set and no bet is open."""
    name = request.node.name
    yield answer_card(gateway_ledger, card_of("a", "b", card_id=name), {"a": 0.02})
    left = [bet.bet_id for bet in gateway_ledger.bets.open_bets()]
    gateway_ledger.bets.void(left, user="test", reason="the test is over")
    gateway_ledger.controls.set(dict.fromkeys(gateway_ledger.controls.current().values), user="test", reason="over")


def ask(http: httpx.Client, method: str, path: str, status: int, **options: Any) -> Any:
    reply = http.request(method, path, **options)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_a_bet_is_recorded_with_what_was_taken(http: httpx.Client, job: str, gateway_ledger: Ledger) -> None:
    gateway_ledger.controls.set({"betting": "live", "bankroll": 100_000}, user="test", reason="live")
    wanted = {"job_id": job, "fight_id": "a", "stake": 2000, "price": 2.35}
    placed = ask(http, "POST", "/v1/bets", 201, json=wanted)
    bet = placed["bet"]
    assert (bet["mode"], bet["price"], bet["bookmaker"], bet["fighter"]) == ("live", 2.35, "Exchange", "Ana a")
    assert not ask(http, "POST", "/v1/bets", 200, json=wanted)["created"]
    assert "is another one" in ask(http, "POST", "/v1/bets", 409, json={**wanted, "stake": 1})["detail"]
    bet_id = default_bet_id(job, "a", "live")
    found = ask(http, "GET", f"/v1/bets/{bet_id}", 200)
    assert (found["bet"]["state"], [entry["entry"] for entry in found["entries"]]) == ("open", ["placed"])
    assert [one["bet"]["bet_id"] for one in ask(http, "GET", "/v1/bets", 200)["bets"]] == [bet_id]
    assert ask(http, "GET", "/v1/bets", 200, params={"mode": "paper"})["bets"] == []
    assert ask(http, "GET", "/v1/bets/exposure", 200)["fights"] == {"a": 2000}
    assert ask(http, "GET", "/v1/bets/account", 200)["open"] == 2000
    voided = ask(http, "POST", "/v1/bets/void", 200, json={"fight_id": "a", "reason": "cancelled"})
    assert voided == {"voided": [bet_id]}
    assert next(one["state"] for one in ask(http, "GET", "/v1/bets", 200, params={"ended": True})["bets"]) == "void"


def test_a_cap_refuses_with_its_room(http: httpx.Client, job: str, gateway_ledger: Ledger) -> None:
    gateway_ledger.controls.set({"max_fight_exposure": 1}, user="test", reason="caps")
    problem = ask(http, "POST", "/v1/bets", 422, json={"job_id": job, "fight_id": "a", "stake": 2000})
    assert problem["details"] == {"cap": "fight", "limit": 100, "room": 100}
    taken = {"job_id": job, "fight_id": "a", "stake": 2000, "taken": True}
    assert ask(http, "POST", "/v1/bets", 201, json=taken)["bet"]["beyond_caps"]


def test_entries_are_read_from_a_place_on(http: httpx.Client, job: str) -> None:
    first = ask(http, "GET", "/v1/bets/entries", 200, params={"limit": 1000})["entries"]
    after = first[-1]["place"] if first else "0"
    ask(http, "POST", "/v1/bets", 201, json={"job_id": job, "fight_id": "a", "stake": 10})
    [entry] = ask(http, "GET", "/v1/bets/entries", 200, params={"after": after})["entries"]
    assert (entry["entry"], entry["bet"]["stake"]) == ("placed", 10)
    ask(http, "GET", "/v1/bets/entries", 422, params={"after": "yesterday"})


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"prise": 2.0}, 422, "prise"),
        ({"stake": 1.5}, 422, "stake"),
        ({"stake": 0}, 422, "stake"),
        ({"fight_id": "x"}, 422, "no answer for fight 'x'"),
        ({"fight_id": "b"}, 422, "name the fighter"),
        ({"job_id": "x"}, 404, "unknown"),
    ],
)
def test_a_wrong_request_is_refused(
    http: httpx.Client, job: str, changes: dict[str, Any], status: int, detail: str
) -> None:
    wanted = {"job_id": job, "fight_id": "a", "stake": 10, **changes}
    assert detail in ask(http, "POST", "/v1/bets", status, json=wanted)["detail"]
    ask(http, "GET", "/v1/bets/nothing", 404)
    ask(http, "POST", "/v1/bets/void", 404, json={"bet_ids": ["nothing"], "reason": "x"})
