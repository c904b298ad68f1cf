from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from producer.feed.odds_api import read_feed
from producer.service.played_season import PlayedSeason, decimal_price, zulu

BEGINS = 1_790_000_000.0
SPEED = 3_600.0  # an hour of the season is a second


def _bout(**changes: Any) -> dict[str, Any]:
    listing = {
        "id": "fight-1",
        "fighters": ["Ann Archer", "Bea Baker"],
        "listed": [[0, 36_000], [72_000, 180_000]],
        "starts": [[0, 100_000], [20_000, 145_800]],
        "moves": [
            [3_600, "Blue Corner", [-150, 130]],
            [7_200, "Ringside", [-140, 120]],
            [10_800, "Blue Corner", None],
            [90_000, "Blue Corner", [-200, 170]],
            [150_000, "Ringside", [-900, 550]],
        ],
        "results": [[180_000, "first"], [200_000, "no_contest"]],
        **changes,
    }
    return {"card": 0, "listings": [listing]}


def _season(*bouts: dict[str, Any]) -> PlayedSeason:
    document = {"format": "simulated season", "version": 1, "length_seconds": 360_000, "bouts": list(bouts)}
    return PlayedSeason.from_document(document, BEGINS, SPEED)


def _at(hours: float) -> float:
    return BEGINS + hours


def test_a_body_reads_as_a_feed_of_the_provider() -> None:
    season = _season(_bout())
    for decimal, notation in ((False, "american"), (True, "decimal")):
        body = json.dumps(season.odds(_at(2.5), decimal=decimal))
        (card,) = read_feed(body, price_format=notation).cards
        (fight,) = card.fights
        assert (fight.id, [fighter.name for fighter in fight.fighters]) == ("fight-1", ["Ann Archer", "Bea Baker"])
        assert {quote.bookmaker: quote.prices for quote in fight.quotes} == {
            "bluecorner": pytest.approx({"Ann Archer": 1.67, "Bea Baker": 2.3}, abs=0.01),
            "ringside": pytest.approx({"Ann Archer": 1.71, "Bea Baker": 2.2}, abs=0.01),
        }
        assert int(card.event_start.timestamp()) == int(_at(27.8))


def test_prices_come_go_and_come_back() -> None:
    (listing,) = _season(_bout()).listings
    prices = [listing.prices_at(_at(hours)).get("Blue Corner") for hours in (0.5, 1, 2.9, 3, 24.9, 25)]
    assert prices == [None, (-150, 130), (-150, 130), None, None, (-200, 170)]


def test_a_bout_vanishes_and_comes_back_with_its_new_start() -> None:
    season = _season(_bout())
    seen = [[event["commence_time"] for event in season.events(_at(hours))] for hours in (5, 9.9, 10, 20, 49.9, 50)]
    first, second = zulu(_at(27)), zulu(_at(40))
    assert seen == [[first], [second], [], [second], [second], []]


def test_a_price_of_the_fight_under_way_never_comes_before_the_announced_bell() -> None:
    (listing,) = _season(_bout(starts=[[0, 148_000]], moves=[[148_001, "Ringside", [-900, 550]]])).listings
    assert listing.bell == int(_at(41.1))
    assert not listing.prices_at(listing.bell)


def test_scores_say_what_is_over_and_are_corrected() -> None:
    season = _season(_bout())
    (before,) = season.scores(_at(49), days=None)
    assert (before["completed"], before["scores"], before["last_update"]) == (False, None, None)
    assert season.scores(_at(51), days=None) == []
    (after,) = season.scores(_at(51), days=3)
    assert after["scores"] == [{"name": "Ann Archer", "score": "1"}, {"name": "Bea Baker", "score": "0"}]
    (corrected,) = season.scores(_at(60), days=3)
    assert (corrected["completed"], corrected["scores"]) == (True, None)
    assert corrected["last_update"] > after["last_update"]
    assert season.scores(_at(50 + 3 * 86_400 + 1), days=3) == []


def test_events_are_in_order_of_their_start() -> None:
    late = _bout(id="a", starts=[[0, 170_000]])
    season = _season(late, _bout())
    assert [event["id"] for event in season.odds(_at(2))] == ["fight-1", "a"]
    assert season.ends == BEGINS + 100


@pytest.mark.parametrize(("american", "decimal"), [(100, 2.0), (-100, 2.0), (250, 3.5), (-400, 1.25)])
def test_decimal_prices(american: int, decimal: float) -> None:
    assert decimal_price(american) == decimal


def test_what_is_no_season_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(ValueError, match=r"is not JSON: write it with python -m engine\.simulation\.season"):
        PlayedSeason.from_file(tmp_path / "text", BEGINS, SPEED)
    with pytest.raises(ValueError, match="not a simulated season of version 1"):
        PlayedSeason.from_document([], BEGINS, SPEED)
    with pytest.raises(ValueError, match="speed must be above 0"):
        PlayedSeason.from_document({"format": "simulated season", "version": 1, "bouts": []}, BEGINS, 0)
