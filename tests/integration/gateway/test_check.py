"""The check of a feed over HTTP: what would fail, without a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ledger.ledger import Ledger
from ledger.models.fighter_directories import MAX_DIRECTORIES, FighterDirectory

MODEL = "c" * 64
START = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=5)


@pytest.fixture(scope="module", autouse=True)
def model(gateway_ledger: Ledger) -> None:
    names = ["Ann Archer", "Bea Brown", "Cat Carter", "Dot Duke", "Twin Name"]
    directory = FighterDirectory([str(place) for place in range(5)], names, [name == "Twin Name" for name in names])
    gateway_ledger.fighters.publish(MODEL, directory)
    gateway_ledger.models.register(MODEL, {})
    gateway_ledger.aliases.set("champion", MODEL)


def event(
    name: str, home: str, away: str, *, prices: tuple[float, float] = (1.7, 2.2), **changes: Any
) -> dict[str, Any]:
    """One event of a feed with one bookmaker."""
    outcomes = [{"name": home, "price": prices[0]}, {"name": away, "price": prices[1]}]
    market = {"key": "h2h", "outcomes": outcomes}
    bookmaker = {"key": "books", "last_update": datetime.now(UTC).isoformat(), "markets": [market]}
    return {
        "id": name,
        "sport_key": "mma_mixed_martial_arts",
        "commence_time": START.isoformat(),
        "home_team": home,
        "away_team": away,
        "bookmakers": [bookmaker],
        **changes,
    }


def check(http: httpx.Client, *events: dict[str, Any], **query: Any) -> dict[str, Any]:
    reply = http.post("/v1/check", json=list(events), params={"price_format": "decimal", **query})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def issues(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {issue["fight_id"]: issue for card in found["cards"] for issue in card.get("issues", [])}


def test_a_sound_feed_passes_and_makes_no_job(http: httpx.Client, gateway_ledger: Ledger) -> None:
    found = check(
        http, event("1", "Ann Archer", "Bea Brown"), event("2", "CARTER, Cat", "Dot Duke"), debutant="CARTER, Cat"
    )
    assert (found["passed"], found["names_checked"], found["model"]) == (True, True, MODEL)
    assert [card["fights"] for card in found["cards"]] == [2]
    assert issues(found) == {}
    assert gateway_ledger.job_index.page().jobs == []
    assert gateway_ledger.feeds.add_listed_fights([]) == []


def test_unknown_names_come_with_the_nearest(http: httpx.Client) -> None:
    found = check(http, event("1", "Ann Archr", "Bea Brown"), event("2", "Twin Name", "Dot Duke"))
    assert not found["passed"]
    first, second = issues(found)["1"]["failure"], issues(found)["2"]["failure"]
    assert first["code"] == second["code"] == "unknown_fighter"
    assert first["details"]["unknown"] == [{"name": "Ann Archr", "nearest": ["Ann Archer"]}]
    assert "Twin Name" in second["message"]
    assert check(http, event("1", "Ann Archr", "Bea Brown"), debutant="Ann Archr")["passed"]


def test_prices_that_are_stale_or_wrong_are_named(http: httpx.Client) -> None:
    old = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    stale = event("1", "Ann Archer", "Bea Brown")
    stale["bookmakers"][0]["last_update"] = old
    assert any("left out" in text for text in issues(check(http, stale))["1"]["warnings"])
    refused = check(http, stale, max_quote_age_seconds=60)["cards"][0]["refused"]
    assert refused["code"] == "stale_odds"
    wrong = http.post("/v1/check", json=[event("1", "Ann Archer", "Bea Brown")], params={"price_format": "american"})
    assert wrong.status_code == 422
    assert "decimal" in wrong.json()["detail"]


def test_doubles_and_events_that_have_begun_are_named(http: httpx.Client) -> None:
    twice = check(http, event("1", "Ann Archer", "Bea Brown"), event("2", "Bea Brown", "Ann Archer"))
    assert any("same bout" in text for text in issues(twice)["2"]["warnings"])
    shared = check(http, event("1", "Ann Archer", "Bea Brown"), event("2", "Ann Archer", "Dot Duke"))
    assert any("shares a fighter" in text for text in issues(shared)["1"]["warnings"])
    same_id = check(http, event("1", "Ann Archer", "Bea Brown"), event("1", "Ann Archer", "Bea Brown"))
    assert "duplicate" in same_id["events_refused"][0]["message"]
    begun = check(http, event("1", "Ann Archer", "Bea Brown", commence_time="2020-01-01T00:00:00Z"))
    assert begun["cards"][0]["refused"]["code"] == "expired"
    assert not begun["passed"]


def test_a_model_whose_fighters_are_unknown_is_said(http: httpx.Client, gateway_ledger: Ledger) -> None:
    gateway_ledger.models.register("d" * 64, {})
    found = check(http, event("1", "Nobody Atall", "Bea Brown"), model="d" * 64)
    assert (found["passed"], found["names_checked"]) == (True, False)
    unknown = http.post("/v1/check", json=[], params={"price_format": "decimal", "model": "no-such-model"})
    assert unknown.status_code == 422


def test_fighters_of_old_models_are_dropped(gateway_ledger: Ledger) -> None:
    for number in range(MAX_DIRECTORIES + 5):
        gateway_ledger.fighters.publish(f"{number:064x}", FighterDirectory([], [], []))
    kept = [number for number in range(MAX_DIRECTORIES + 5) if gateway_ledger.fighters.find(f"{number:064x}")]
    assert len(kept) == MAX_DIRECTORIES
