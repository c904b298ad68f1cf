"""A small league and a small ensemble trained on it, once a test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fighter_snapshot import FighterSnapshot
from engine.members.member_stack import MemberParams
from engine.members.random_forest import ForestParams
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import save_ensemble
from engine.simulation.league import League, LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble

SMALL = MemberParams(forest=ForestParams(trees=10))


@pytest.fixture(scope="session")
def league() -> League:
    return simulate_league(LeagueConfig(fights=450, seed=11))


@pytest.fixture(scope="session")
def league_matrix(league: League) -> TrainingMatrix:
    matrix = build_matrix(league.log)
    return matrix.select(MODEL_COLUMNS)


@pytest.fixture(scope="session")
def small_training() -> TrainingConfig:
    return TrainingConfig(seed=3, bootstrap_samples=12, fits=2, folds=3, members=SMALL, replica_members=SMALL, n_jobs=2)


@pytest.fixture(scope="session")
def bundle(
    league: League,
    league_matrix: TrainingMatrix,
    small_training: TrainingConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    ensemble = train_ensemble(league_matrix, small_training, FighterSnapshot.from_log(league.log))
    return save_ensemble(ensemble, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def bundle_folder(bundle: Bundle) -> Path:
    return bundle.folder
