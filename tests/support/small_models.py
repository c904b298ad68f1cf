"""Small real models of one simulated league, for tests of whole pools."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import msgspec

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterSnapshot
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.model.bundle import Bundle, open_bundle
from engine.model.trained_ensemble import load_ensemble, save_ensemble
from engine.simulation.league import League, LeagueConfig, odds_feed, simulate_league
from engine.training.train import TrainingConfig, train_ensemble
from ledger.contracts.jobs import PredictCard
from ledger.ledger import Ledger
from producer.feed.odds_api import read_cards
from tests.support.shared_files import made_once

SMALL = MemberParams(forest=ForestParams(trees=10))
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@cache
def small_league(fights: int = 450) -> League:
    return simulate_league(LeagueConfig(fights=fights, seed=11))


@cache
def small_matrix() -> TrainingMatrix:
    """The fights of the small league with the features of a model."""
    return build_matrix(small_league().log).select(MODEL_COLUMNS)


def small_config(seed: int, replicas: int = 0, fits: int = 1) -> TrainingConfig:
    return TrainingConfig(
        seed=seed, bootstrap_samples=replicas, fits=fits, folds=3, members=SMALL, replica_members=SMALL, n_jobs=2
    )


def trained(folder: Path, seed: int, replicas: int = 0, fits: int = 1) -> Bundle:
    """Return a model of the small league in a folder, another one for every seed. A test run trains each once."""
    config = small_config(seed, replicas, fits)
    (made,) = made_once(f"model-{seed}-{replicas}-{fits}", lambda place: _train(config, place)).glob("[0-9a-f]*")
    return open_bundle(Path(shutil.copytree(made, folder / made.name, dirs_exist_ok=True)))


NEWER = date(2025, 11, 1)
"""The model of the past knows no fight of the small league from this day on, and no fighter who began then."""


def past_log() -> FightLog:
    """Return the small league's log as it was before NEWER, without fighters who had no fight yet."""
    log = small_league().log.before(NEWER)
    fought = {*log.fights["red_id"], *log.fights["blue_id"]}
    return FightLog(log.fights, log.stat_lines, log.fighters[log.fighters["fighter_id"].isin(fought)])


def trained_on_the_past(folder: Path) -> Bundle:
    """Return a model of `past_log` in a folder."""
    (made,) = made_once("model-of-the-past", _train_on_the_past).glob("[0-9a-f]*")
    return open_bundle(Path(shutil.copytree(made, folder / made.name, dirs_exist_ok=True)))


def _train_on_the_past(folder: Path) -> None:
    log = past_log()
    matrix = build_matrix(log).select(MODEL_COLUMNS)
    save_ensemble(train_ensemble(matrix, small_config(1, replicas=10), FighterSnapshot.from_log(log)), folder)


def _train(config: TrainingConfig, folder: Path) -> Bundle:
    return save_ensemble(train_ensemble(small_matrix(), config, FighterSnapshot.from_log(small_league().log)), folder)


def wrong(bundle: Bundle) -> Bundle:
    """The same model with other answers kept beside it, as if this machine gave wrong ones."""
    ensemble = load_ensemble(bundle)
    rows, expected = ensemble.reference_predictions
    return save_ensemble(replace(ensemble, reference_predictions=(rows, expected + 1e-6)), bundle.folder.parent)


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


def set_alias(ledger: Ledger, alias: str, digest: str) -> None:
    """Register a model and give it an alias, without a verification."""
    ledger.models.register(digest, {})
    ledger.aliases.set(alias, digest, user="test", reason="to begin")
