"""A valid model bundle of a wanted size, built in seconds from a small training whose replicas are repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fighter_snapshot import FighterSnapshot
from engine.members.member_fit import MemberParams
from engine.members.member_stack import stack_members
from engine.members.random_forest import ForestParams
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import save_ensemble
from engine.simulation.league import LeagueConfig, odds_feed, simulate_league
from engine.training.train import TrainingConfig, train_ensemble
from ledger.contracts.jobs import PredictCard
from producer.feed.odds_api import read_cards

_MEMBERS = MemberParams(forest=ForestParams(trees=50))
_DEADLINE = datetime(2099, 1, 1, tzinfo=UTC)  # because the simulated events have begun


@dataclass(frozen=True)
class LargeModel:
    """A bundle, and cards that its model can predict."""

    bundle: Bundle
    cards: tuple[PredictCard, ...]


def large_model(folder: Path, wanted_mb: float) -> LargeModel:
    """Train on a simulated league and write a bundle of about `wanted_mb` into a folder of models."""
    league = simulate_league(LeagueConfig(fights=1500, seed=7))
    config = TrainingConfig(bootstrap_samples=10, fits=1, folds=3, members=_MEMBERS, replica_members=_MEMBERS)
    small = train_ensemble(build_matrix(league.log).select(MODEL_COLUMNS), config, FighterSnapshot.from_log(league.log))
    if small.replicas is None:
        raise ValueError("a training with bootstrap_samples has replicas")
    once = save_ensemble(small, folder)
    repeated_bytes = sum(size for name, size in once.sizes.items() if "/replicas/" in name)
    repeats = max(1, round((wanted_mb * 2**20 - once.size_bytes) / repeated_bytes) + 1)
    large = replace(small, replicas=stack_members([small.replicas] * repeats))
    cards = read_cards(odds_feed(league), price_format="american", deadline=_DEADLINE)
    return LargeModel(save_ensemble(large, folder), tuple(cards))
