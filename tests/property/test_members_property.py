"""The promise of `engine.arrays`: a replica's number for a row has the same bits however the work is cut."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import ReplicatedMember
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges
from engine.members.network_fit import NetworkParams, fit_network
from engine.members.neural_network import StackedNetworks
from engine.members.random_forest import FlatForests, ForestParams, grow_forest
from engine.members.xgboost_config import ProductionXGBoostConfig
from engine.members.xgboost_fit import SharedRows, TrainingLimits, boost

_REPLICAS, _ROWS, _FEATURES = 11, 300, 7


def _table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_ROWS, _FEATURES))
    won = np.where(X[:, 0] > rng.normal(size=_ROWS), 0.9, 0.2)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, won


def _members() -> dict[str, ReplicatedMember]:
    X, won = _table()
    weights = np.random.default_rng(1).multinomial(_ROWS, np.ones(_ROWS) / _ROWS, size=_REPLICAS).astype(float)
    config = ProductionXGBoostConfig(n_estimators=15, max_depth=3)
    shared = SharedRows.from_values(X, config)
    cuts = BinEdges.from_matrix(shared.cuts)
    seeds = np.arange(5 * _REPLICAS, dtype=np.uint64).reshape(_REPLICAS, 5)
    forests = [
        grow_forest(cuts, cuts.encode_for_training(X), won, w.astype(int), ForestParams(trees=5, max_depth=5), each)
        for w, each in zip(weights, seeds, strict=True)
    ]
    networks = [fit_network(X, won, w, NetworkParams(hidden=(64, 32), epochs=1), k) for k, w in enumerate(weights)]
    boosted = [
        boost(
            shared.training_matrix(won, w, config),
            shared.validation_set(won, w == 0),
            config,
            TrainingLimits(max_training_time_s=300, max_memory_mb=1e6),
        )
        for w in weights
    ]
    return {
        "forest": FlatForests.concatenate(forests),
        "network": StackedNetworks.concatenate(networks),
        "boosters": FlatBoosters.concatenate([FlatBoosters.from_booster(result.booster, cuts) for result in boosted]),
    }


@pytest.fixture(scope="module")
def whole() -> dict[str, tuple[ReplicatedMember, np.ndarray]]:
    X, _ = _table()
    return {name: (member, member.predict_replicas(X)) for name, member in _members().items()}


@pytest.mark.parametrize("name", ["forest", "network", "boosters"])
@given(
    rows=st.lists(st.integers(0, _ROWS - 1), max_size=150),
    start=st.integers(0, _REPLICAS - 1),
    size=st.integers(1, _REPLICAS),
)
def test_any_rows_in_any_order_and_any_batch_give_the_same_bits(
    whole: dict[str, tuple[ReplicatedMember, np.ndarray]], name: str, rows: list[int], start: int, size: int
) -> None:
    member, expected = whole[name]
    stop = min(start + size, _REPLICAS)
    X, _ = _table()
    np.testing.assert_array_equal(member.predict_replicas(X[rows], start, stop), expected[start:stop][:, rows])


@pytest.mark.parametrize("name", ["forest", "network", "boosters"])
def test_threads_give_the_same_bits(whole: dict[str, tuple[ReplicatedMember, np.ndarray]], name: str) -> None:
    member, expected = whole[name]
    X, _ = _table()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda replica: member.predict_replicas(X, replica, replica + 1), [*range(11)] * 3))
    np.testing.assert_array_equal(np.concatenate(answers), np.tile(expected, (3, 1)))
