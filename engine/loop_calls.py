"""Calls of the loops of a training and of a prediction, on as little data as they accept: numba compiles them then."""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.data.feature_matrix import TrainingMatrix
from engine.data.features import build_matrix
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.simulation.league import LeagueConfig, simulate_league
from engine.training.train import MIN_FIGHTS, TrainingConfig, train_ensemble

FEATURES = 40
REPLICAS = 10
FIGHTS_A_DAY = 10


def compile_ratings() -> None:
    """Compile the loops that rate the fighters of a fight log."""
    build_matrix(simulate_league(LeagueConfig(fights=MIN_FIGHTS, seed=1)).log)


def compile_members() -> None:
    """Compile the loops that train an ensemble and predict with it."""
    members = MemberParams(forest=ForestParams(trees=2))
    config = TrainingConfig(
        bootstrap_samples=REPLICAS, fits=1, folds=3, members=members, replica_members=members, n_jobs=1
    )
    matrix = _noise()
    manager = ProductionEnsembleManager.from_ensemble(
        train_ensemble(matrix, config), create_production_ensemble_config(bootstrap_samples=REPLICAS)
    )
    manager.predict_fights(matrix.X[:2], [("red", "blue")] * 2)


def _noise() -> TrainingMatrix:
    """Return a matrix of fights that have nothing to do with their features, only with their prices."""
    rng = np.random.default_rng(1)
    days = np.datetime64("2020-01-01") + 7 * (np.arange(MIN_FIGHTS) // FIGHTS_A_DAY)
    probability = rng.uniform(0.2, 0.8, MIN_FIGHTS)
    X = pd.DataFrame(rng.normal(size=(MIN_FIGHTS, FEATURES)), columns=[f"diff_{c}" for c in range(FEATURES)])
    return TrainingMatrix(
        X=X,
        won=(rng.random(MIN_FIGHTS) < probability).astype(np.int8),
        event=days.astype(np.str_),
        date=days,
        red_odds=1.0 / probability,
        blue_odds=1.0 / (1.0 - probability),
        corner_known=np.ones(MIN_FIGHTS, np.bool_),
        experience=np.full(MIN_FIGHTS, 5),
    )
