from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ValidationError
from engine.market.devigging import devig
from engine.market.odds import american_to_decimal
from engine.simulation.league import LeagueConfig, simulate_league
from engine.simulation.price_paths import PriceMove
from engine.simulation.season import (
    DAY_SECONDS,
    Incident,
    Listing,
    Season,
    SeasonBout,
    SeasonConfig,
    main,
    season_document,
    simulate_season,
)

LEAGUE = LeagueConfig(fights=800, seed=7, upcoming_cards=1, roster_size=400)
CONFIG = SeasonConfig(league=LEAGUE, cards=8)


@pytest.fixture(scope="module")
def season() -> Season:
    return simulate_season(CONFIG)


def _with(season: Season, incident: Incident) -> list[SeasonBout]:
    return [bout for bout in season.bouts if incident in bout.incidents]


@pytest.mark.slow
def test_the_same_configuration_is_the_same_season_to_the_bit(season: Season) -> None:
    again = simulate_season(CONFIG)
    assert season_document(again) == season_document(season)
    assert again.league.log.digest() == season.league.log.digest()
    other = simulate_season(replace(CONFIG, league=replace(LEAGUE, seed=8)))
    assert not _ids(other) & _ids(season)


def test_the_league_of_a_season_is_the_league_alone(season: Season) -> None:
    league = simulate_league(LEAGUE)
    assert league.log.digest() == season.league.log.digest()
    assert league.upcoming == season.league.upcoming


@pytest.mark.slow
def test_nobody_fights_twice_and_nobody_is_new(season: Season) -> None:
    fought = [name for bout in season.bouts if bout.ending != "cancelled" for name in bout.fighters]
    assert len(set(fought)) == len(fought)
    assert set(fought) <= set(season.league.log.fighters["name"])
    with pytest.raises(ValidationError, match="larger roster"):
        simulate_season(SeasonConfig(league=replace(LEAGUE, roster_size=200), cards=30))


def test_each_kind_of_incident_happens_before_any_happens_twice(season: Season) -> None:
    cards = {kind: {bout.card for bout in _with(season, kind)} for kind in Incident}
    assert all(cards.values())
    dealt = [len(numbers) for numbers in cards.values()]
    assert sum(dealt) == CONFIG.cards * CONFIG.incidents_per_card
    assert max(dealt) - min(dealt) <= 1


def test_prices_end_at_the_view_of_the_market_and_begin_further_from_it(season: Season) -> None:
    opening, closing = [], []
    for bout in season.bouts:
        moves = [move for move in bout.listings[-1].moves if move.at_seconds < bout.bell_seconds]
        if bout.ending != "cancelled":
            opening.append(_fair(moves, first=True) - bout.market_probability)
            closing.append(_fair(moves, first=False) - bout.market_probability)
    assert abs(np.mean(opening)) < 0.02
    assert np.std(closing) < 0.02 < np.std(opening) < 0.10


def test_bookmakers_quote_with_their_margin_and_some_take_their_price_away(season: Season) -> None:
    moves = [move for bout in season.bouts for move in bout.listings[0].moves if move.at_seconds < bout.bell_seconds]
    totals = [float((1.0 / american_to_decimal(move.prices)).sum()) for move in moves if move.prices]
    assert 1.02 < min(totals) <= max(totals) < 1.12
    assert 0.02 < sum(move.prices is None for move in moves) / len(moves) < 0.10


def test_after_the_bell_prices_follow_the_fight_and_end_with_it(season: Season) -> None:
    in_play = 0
    for bout in season.bouts:
        listing = bout.listings[-1]
        assert all(move.at_seconds < listing.listed[-1][1] for move in listing.moves)
        in_play += sum(move.at_seconds >= bout.bell_seconds for move in listing.moves)
    assert in_play > len(season.bouts)


def test_results_are_drawn_from_the_truth(season: Season) -> None:
    won = [(bout.probability, bout.winner == 0) for bout in season.bouts if bout.ending == "won"]
    assert abs(np.mean([probability - first for probability, first in won])) < 0.12
    assert all(bout.listings[-1].results[0][0] > bout.bell_seconds for bout in season.bouts if bout.winner is not None)


def test_a_fought_bout_has_the_record_that_a_fight_log_needs(season: Season) -> None:
    assert all((bout.record is None) == (bout.ending == "cancelled") for bout in season.bouts)
    records = [bout.record for bout in season.bouts if bout.record is not None]
    assert len({record.fight_id for record in records}) == len(records)
    assert not {record.fight_id for record in records} & set(season.league.log.fights["fight_id"])
    ids = set(season.league.log.fighters["fighter_id"])
    assert all(set(record.fighter_ids) <= ids for record in records)
    assert set(records[0].stat_lines[0]) <= set(season.league.log.stat_lines.columns)
    assert (
        0.5 < np.mean([(bout.probability > 0.5) ^ (bout.record.red == 1) for bout in season.bouts if bout.record]) < 1
    )


def test_what_each_incident_does_to_the_listings(season: Season) -> None:
    moved = _with(season, Incident.START_MOVED)[0]
    assert len(moved.listings[0].starts) == 2
    assert moved.bell_seconds == moved.listings[0].starts[1][1] == moved.listings[0].starts[0][1] + DAY_SECONDS
    before, after = _with(season, Incident.FIGHTER_REPLACED)[:2]
    assert (before.ending, before.fighters[0]) == ("cancelled", after.fighters[0])
    assert before.fighters[1] != after.fighters[1]
    assert before.listings[0].listed[0][1] < after.listings[0].listed[0][0]
    cancelled = _with(season, Incident.CANCELLED)[0]
    assert (cancelled.ending, cancelled.listings[0].results) == ("cancelled", ())
    assert _with(season, Incident.NO_CONTEST)[0].listings[0].results[0][1] == "no_contest"
    overturned = _with(season, Incident.OVERTURNED)[0]
    assert [result for _, result in overturned.listings[0].results] in (
        ["first", "no_contest"],
        ["second", "no_contest"],
    )
    old, new = _with(season, Incident.ID_CHANGED)[0].listings
    assert old.fight_id != new.fight_id
    assert old.listed[0][1] == new.listed[0][0]
    assert (old.results, len(new.results)) == ((), 1)
    away = _with(season, Incident.GONE_AND_BACK)[0].listings[0].listed
    assert away[0][1] < away[1][0]


@pytest.mark.parametrize("wrong", [{"cards": 0}, {"fights_per_card": 20}, {"incidents_per_card": 13}])
def test_a_season_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="must be in"):
        SeasonConfig(**wrong)


def test_the_command_writes_the_league_and_the_season(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--cards", "2", "--fights", "300", "--seed", "3"]) == 0
    document = json.loads((tmp_path / "season.json").read_bytes())
    assert {path.name for path in tmp_path.iterdir()} >= {"fights.csv", "feed.json", "truth.json", "season.json"}
    assert (document["format"], document["cards"]) == ("simulated season", 2)
    assert "price moves" in capsys.readouterr().out


def _ids(season: Season) -> set[str]:
    return {listing.fight_id for bout in season.bouts for listing in bout.listings}


def _fair(moves: list[PriceMove], *, first: bool) -> float:
    """Return the mean fair probability over bookmakers, of each one's first or last price."""
    prices: dict[str, tuple[int, int]] = {}
    for move in moves:
        if move.prices is not None and not (first and move.bookmaker in prices):
            prices[move.bookmaker] = move.prices
    return float(devig(american_to_decimal(list(prices.values())))[:, 0].mean())


def test_a_listing_has_no_price_outside_its_time(season: Season) -> None:
    listings: list[Listing] = [listing for bout in season.bouts for listing in bout.listings]
    assert all(listing.listed[0][0] < listing.listed[-1][1] for listing in listings)
    assert all(each.moves == tuple(sorted(each.moves, key=lambda move: move.at_seconds)) for each in listings)
