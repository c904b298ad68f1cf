"""Small real models of one simulated league, for tests of whole pools."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fighter_snapshot import FighterSnapshot
from engine.members.member_stack import MemberParams
from engine.members.random_forest import ForestParams
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import load_ensemble, save_ensemble
from engine.simulation.league import League, LeagueConfig, odds_feed, simulate_league
from engine.training.train import TrainingConfig, train_ensemble
from ledger.contracts.jobs import PredictCard
from producer.feed.odds_api import read_cards

SMALL = MemberParams(forest=ForestParams(trees=10))
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def small_league(fights: int = 450) -> League:
    return simulate_league(LeagueConfig(fights=fights, seed=11))


def trained(league: League, folder: Path, seed: int, replicas: int = 0) -> Bundle:
    """Train another model for every seed."""
    config = TrainingConfig(
        seed=seed, bootstrap_samples=replicas, fits=1, folds=3, members=SMALL, replica_members=SMALL, n_jobs=2
    )
    matrix = build_matrix(league.log).select(MODEL_COLUMNS)
    return save_ensemble(train_ensemble(matrix, config, FighterSnapshot.from_log(league.log)), folder)


def wrong(bundle: Bundle) -> Bundle:
    """The same model with other answers kept beside it, as if this machine gave wrong ones."""
    ensemble = load_ensemble(bundle)
    rows, expected = ensemble.reference_predictions
    return save_ensemble(replace(ensemble, canary=(rows, expected + 1e-6)), bundle.folder.parent)


def spoil(folder: Path) -> None:
    """Change one byte of a bundle's largest file, which its manifest vouches for."""
    path = max(folder.rglob("*.npy"), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def first_card(league: League) -> PredictCard:
    """A card of the league's feed that may be answered at any time."""
    (card, *_) = read_cards(json.dumps(odds_feed(league)), price_format="american")
    return msgspec.structs.replace(card, deadline=LATER)
