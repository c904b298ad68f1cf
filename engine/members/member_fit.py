"""One refit of the three members of the ensemble, on the same weighted fights: rows, hyperparameters, fit.

Only training imports this; predicting does not load XGBoost, and neither loads scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.data.feature_matrix import MirrorPlan
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges
from engine.members.member_stack import MEMBER_NAMES, MemberStacks
from engine.members.network_fit import NetworkParams, fit_network
from engine.members.random_forest import ForestParams, grow_forest
from engine.members.xgboost_config import ProductionXGBoostConfig
from engine.members.xgboost_fit import SharedRows, TrainingLimits, boost


def _xgboost_params() -> ProductionXGBoostConfig:
    return ProductionXGBoostConfig(
        n_estimators=300, max_depth=3, subsample=0.8, colsample_bytree=0.5, min_child_weight=10.0, max_bin=64
    )


@dataclass(frozen=True, slots=True)
class MemberParams:
    """Hyperparameters of the members, with defaults chosen on fights before mid-2023 alone (docs/decisions.md)."""

    forest: ForestParams = field(default_factory=lambda: ForestParams(trees=200))
    xgboost: ProductionXGBoostConfig = field(default_factory=_xgboost_params)
    network: NetworkParams = field(default_factory=lambda: NetworkParams(epochs=8, alpha=1.0, learning_rate=3e-3))


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """n fights as 2n rows, each fight from both sides.

    Attributes
    ----------
    values
        Feature values, float64 (2n, f).
    shared
        The rows as XGBoost trains on them.
    cuts
        The bins into which XGBoost cuts the values.
    codes
        The values encoded with these bins, (2n, f).
    """

    values: Floats
    shared: SharedRows
    cuts: BinEdges
    codes: Array

    @classmethod
    def from_fights(cls, values: Floats, plan: MirrorPlan, config: ProductionXGBoostConfig) -> TrainingRows:
        """Prepare fights, float64 (n, f); `plan` swaps the sides of a row."""
        both = np.concatenate([values, plan(values)])
        shared = SharedRows.from_values(both, config)
        cuts = BinEdges.from_matrix(shared.cuts)
        return cls(both, shared, cuts, cuts.encode_for_training(both))


def fit_members(
    rows: TrainingRows,
    labels: Floats,
    weight: NDArray[np.int64],
    stop: NDArray[np.bool_],
    params: MemberParams,
    stream: np.random.SeedSequence,
    limits: TrainingLimits,
) -> MemberStacks:
    """Fit all members once.

    Parameters
    ----------
    rows
        The fights from both sides.
    labels
        Result of the first fighter in [0, 1], (n,): see `engine.training.soft_labels`.
    weight
        How often each fight counts, (n,).
    stop
        Fights on which XGBoost decides when to stop, (n,); it does not train on them.
    params
        Hyperparameters.
    stream
        Source of seeds: its first child belongs to the resample, the next three to the members.
    limits
        Time and memory limits.

    Raises
    ------
    TrainingError, TrainingTimeoutError, MemoryLimitError
        As the members' fits raise them.
    """
    _, *streams = stream.spawn(1 + len(MEMBER_NAMES))
    for_trees = streams[0].generate_state(params.forest.trees, np.uint64).astype(np.uint64)
    for_xgboost, for_network = (int(child.generate_state(1)[0]) for child in streams[1:])
    won, both = np.concatenate([labels, 1.0 - labels]), np.concatenate([weight, weight])
    forest = grow_forest(rows.cuts, rows.codes, won, both, params.forest, for_trees)
    limits.check("the random forest")
    config = replace(params.xgboost, seed=for_xgboost % 2**31)
    held = np.concatenate([stop, stop])
    boosted = boost(
        rows.shared.training_matrix(won, np.where(held, 0, both), config),
        rows.shared.validation_set(won, held),
        config,
        limits,
    )
    network = fit_network(rows.values, won, both.astype(np.float64), params.network, for_network)
    limits.check("the neural network")
    return MemberStacks(forest, FlatBoosters.from_booster(boosted.model, rows.cuts), network)
