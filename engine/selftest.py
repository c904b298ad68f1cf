"""What the self-tests of `python -m engine.bootstrap` and `python -m engine.ensemble` share: a small trained model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.errors import EngineError
from engine.members.member_stack import MemberParams
from engine.members.random_forest import ForestParams
from engine.model.trained_ensemble import Ensemble
from engine.simulation.league import LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble


def small_ensemble() -> tuple[Ensemble, pd.DataFrame]:
    """Train on 400 simulated fights, with 20 replicas; the model and the rows of the last 24 fights."""
    matrix = build_matrix(simulate_league(LeagueConfig(fights=400, seed=1)).log)
    matrix = matrix.select(MODEL_COLUMNS)
    members = MemberParams(forest=ForestParams(trees=10))
    config = TrainingConfig(bootstrap_samples=20, fits=2, folds=4, members=members, replica_members=members)
    return train_ensemble(matrix, config), matrix.X.tail(24).reset_index(drop=True)


def refuses(kind: type[EngineError], call: Callable[[], Any]) -> bool:
    """Whether the call raises exactly this error."""
    try:
        call()
    except kind:
        return True
    return False


def report(facts: Mapping[str, bool]) -> int:
    """Print a line for each fact; the exit code, 1 where one does not hold."""
    for fact, holds in facts.items():
        sys.stdout.write(f"{'verified' if holds else 'FAILED'}: {fact}\n")
    return 0 if all(facts.values()) else 1
