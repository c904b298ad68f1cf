"""The played provider over real sockets: its routes, its budget, and each of its faults."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from producer.feed.odds_api import read_cards
from producer.service.played_provider import DEMO_KEY, PlayedProvider, ProviderFault
from producer.service.played_season import SPORT, PlayedSeason

ROOT = Path(__file__).parents[3]
ODDS = f"/v4/sports/{SPORT}/odds"
HISTORICAL = f"/v4/historical/sports/{SPORT}/odds"
GIVEN = {"apiKey": DEMO_KEY, "regions": "us,uk", "markets": "h2h", "oddsFormat": "american"}


def _document() -> dict[str, object]:
    listing = {
        "id": "fight-1",
        "fighters": ["Ann Archer", "Bea Baker"],
        "listed": [[0, 1_000]],
        "starts": [[0, 900]],
        "moves": [[1, "Blue Corner", [-150, 130]], [200, "Blue Corner", [-160, 140]]],
        "results": [[1_000, "second"]],
    }
    return {"format": "simulated season", "version": 1, "length_seconds": 2_000, "bouts": [{"listings": [listing]}]}


@pytest.fixture
def provider() -> Iterator[PlayedProvider]:
    season = PlayedSeason.from_document(_document(), time.time() - 100, 1.0)
    with PlayedProvider(season) as provider:
        yield provider


@pytest.fixture
def client(provider: PlayedProvider) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=provider.url, timeout=10.0) as client:
        yield client


def test_odds_are_what_is_played_and_cost_by_region(provider: PlayedProvider, client: httpx.Client) -> None:
    replies = [client.get(ODDS, params=GIVEN) for _ in range(2)]
    (card,) = read_cards(replies[0].content, price_format="american")
    assert card.fights[0].quotes[0].bookmaker == "bluecorner"
    assert [reply.headers["x-requests-used"] for reply in replies] == ["2", "4"]
    assert {reply.headers["x-requests-last"] for reply in replies} == {"2"}
    assert int(replies[1].headers["x-requests-remaining"]) == 1_000_000 - 4
    played = provider.requests[-1]
    assert (played.path, played.status) == (ODDS, 200)
    assert played.sha256 == hashlib.sha256(replies[1].content).hexdigest()
    assert DEMO_KEY not in repr(provider.requests)


def test_events_are_free_and_scores_cost_more_with_past_days(client: httpx.Client) -> None:
    key = {"apiKey": DEMO_KEY}
    events = client.get(f"/v4/sports/{SPORT}/events", params=key)
    scores = client.get(f"/v4/sports/{SPORT}/scores/", params={**key, "daysFrom": "3"})
    assert (events.json()[0]["id"], scores.json()[0]["completed"]) == ("fight-1", False)
    assert (events.headers["x-requests-last"], scores.headers["x-requests-last"]) == ("0", "2")


def test_historical_odds_are_those_of_the_snapshot_before(provider: PlayedProvider, client: httpx.Client) -> None:
    at = provider.season.begins + 50
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    reply = client.get(HISTORICAL, params={**GIVEN, "date": date})
    body = reply.json()
    assert body["timestamp"] == date
    assert body["previous_timestamp"] < date < body["next_timestamp"]
    assert body["data"][0]["bookmakers"][0]["last_update"] == date
    assert reply.headers["x-requests-last"] == "20"
    late = client.get(HISTORICAL, params={**GIVEN, "date": "2100-01-01T00:00:00Z"}).json()
    assert late["timestamp"] < "2100"


@pytest.mark.parametrize(
    ("path", "changes", "status", "code"),
    [
        (ODDS, {"apiKey": None}, 401, "MISSING_KEY"),
        (ODDS, {"apiKey": "wrong"}, 401, "INVALID_KEY"),
        (ODDS, {"regions": None}, 422, "MISSING_REGION"),
        (ODDS, {"markets": "spreads"}, 422, "INVALID_MARKET"),
        (ODDS, {"oddsFormat": "fractional"}, 422, "INVALID_ODDS_FORMAT"),
        (HISTORICAL, {}, 422, "INVALID_HISTORICAL_TIMESTAMP"),
        (f"/v4/sports/{SPORT}/scores", {"daysFrom": "4"}, 422, "INVALID_SCORES_DAYS_FROM"),
        ("/v4/sports/boxing_boxing/odds", {}, 404, "UNKNOWN_SPORT"),
    ],
)
def test_a_wrong_request_is_refused_by_its_code(
    client: httpx.Client, path: str, changes: dict[str, str | None], status: int, code: str
) -> None:
    given = {name: value for name, value in {**GIVEN, **changes}.items() if value is not None}
    reply = client.get(path, params=given)
    assert (reply.status_code, reply.json()["error_code"]) == (status, code)


def test_without_credits_it_refuses() -> None:
    season = PlayedSeason.from_document(_document(), time.time() - 100, 1.0)
    with PlayedProvider(season, credits_left=3) as provider, httpx.Client(base_url=provider.url) as client:
        replies = [client.get(ODDS, params=GIVEN) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 401]
    assert replies[1].json()["error_code"] == "OUT_OF_USAGE_CREDITS"


@pytest.mark.parametrize("fault", ProviderFault)
def test_a_fault_strikes_one_request_and_the_next_one_is_whole(
    provider: PlayedProvider, client: httpx.Client, fault: ProviderFault
) -> None:
    provider.break_next(fault)
    timeout = 0.3 if fault is ProviderFault.SILENT else 10.0
    if fault in (ProviderFault.CUT, ProviderFault.HALF_BODY, ProviderFault.SILENT):
        with pytest.raises(httpx.TransportError):
            client.get(ODDS, params=GIVEN, timeout=timeout)
    elif fault is ProviderFault.NOT_JSON:
        assert client.get(ODDS, params=GIVEN).text.startswith("<!doctype html>")
    else:
        assert f"({client.get(ODDS, params=GIVEN).status_code})" in fault
    assert client.get(ODDS, params=GIVEN).status_code == 200
    assert [request.fault for request in provider.requests] == [fault, None]
    assert [bool(request.sha256) for request in provider.requests] == [False, True]


def test_healing_forgets_what_nobody_has_met(provider: PlayedProvider, client: httpx.Client) -> None:
    provider.break_next(ProviderFault.SERVER_ERROR, times=5)
    assert client.get(ODDS, params=GIVEN).status_code == 500
    provider.heal()
    assert client.get(ODDS, params=GIVEN).status_code == 200


def test_as_a_process_it_plays_a_file_until_the_season_is_over(tmp_path: Path) -> None:
    (tmp_path / "season.json").write_text(json.dumps(_document()))
    command = [sys.executable, "-m", "producer.service.played_provider", str(tmp_path / "season.json")]
    with subprocess.Popen([*command, "--minutes", "0.05"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(url + ODDS, params=GIVEN).status_code == 200
        assert process.wait(30) == 0
