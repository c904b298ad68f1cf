"""A season's league and a small model of its past, made without a queue."""

from __future__ import annotations

from pathlib import Path

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import write_fight_log
from engine.data.fighter_snapshot import FighterSnapshot
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import save_ensemble
from engine.simulation.league import LeagueConfig
from engine.simulation.season import Season, SeasonConfig, simulate_season
from engine.training.train import train_ensemble
from tests.support.small_models import small_config

LEAGUE_FIGHTS = 500
MARKET_BLINDNESS = 0.5
ROSTER_SHARE = 4
"""Fighters under contract for each bout of the season; small weight classes run out of them first."""


def small_season(seed: int, cards: int, fights_per_card: int) -> Season:
    """Return a season whose fighters suffice."""
    roster_size = max(240, ROSTER_SHARE * cards * fights_per_card)
    fights = max(LEAGUE_FIGHTS, 2 * roster_size)
    # A market that is blind to a part of what decides leaves something to bet on.
    league = LeagueConfig(
        fights=fights, seed=seed, roster_size=roster_size, upcoming_cards=0, market_blindness=MARKET_BLINDNESS
    )
    return simulate_season(SeasonConfig(league=league, cards=cards, fights_per_card=fights_per_card))


def season_model(season: Season, log: Path, models: Path) -> Bundle:
    """Write the past fights into a folder, and train a model of them into another."""
    write_fight_log(season.league.log, log)
    matrix = build_matrix(season.league.log).select(MODEL_COLUMNS)
    snapshot = FighterSnapshot.from_log(season.league.log)
    return save_ensemble(train_ensemble(matrix, small_config(1, replicas=0), snapshot), models)
