from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb

from engine.errors import BootstrapError, ValidationError
from engine.members.boosted_trees import FlatBoosters
from engine.members.feature_bins import BinEdges

_PARAMS = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}


def _booster(seed: int, features: int = 5) -> xgb.Booster:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, features))
    won = (X[:, 0] > rng.normal(size=300)).astype(int)
    X[rng.random(X.shape) < 0.1] = np.nan
    return xgb.train(_PARAMS, xgb.DMatrix(X, won, feature_names=[f"x{i}" for i in range(features)]), 8)


def _rows(features: int = 5) -> np.ndarray:
    X = np.random.default_rng(9).normal(size=(43, features))
    X[::3, 0] = np.nan
    return X


def _theirs(booster: xgb.Booster, X: np.ndarray) -> np.ndarray:
    return np.asarray(booster.predict(xgb.DMatrix(X, feature_names=[f"x{i}" for i in range(X.shape[1])])))


@pytest.mark.parametrize("seed", range(3))
def test_predictions_are_those_of_xgboost(seed: int) -> None:
    booster, X = _booster(seed), _rows()
    flat = FlatBoosters.from_booster(booster)
    np.testing.assert_allclose(flat.predict_replicas(X)[0], _theirs(booster, X), rtol=0, atol=1e-6)


def test_rows_on_a_split_go_where_xgboost_sends_them() -> None:
    booster = _booster(0)
    flat = FlatBoosters.from_booster(booster)
    cuts = flat.trees.cuts
    near = cuts.values[cuts.starts[0] : cuts.starts[1]]
    X = np.zeros((2 * len(near), 5))
    X[:, 0] = np.concatenate([near, np.nextafter(near, np.float32(-np.inf))])
    np.testing.assert_allclose(flat.predict_replicas(X)[0], _theirs(booster, X), rtol=0, atol=1e-6)


def test_models_of_one_matrix_share_its_cuts() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    X[rng.random(X.shape) < 0.1] = np.nan
    matrix = xgb.QuantileDMatrix(X, X[:, 1] > rng.normal(size=300), max_bin=32)
    cuts = BinEdges.from_matrix(matrix)
    trained = [xgb.train({**_PARAMS, "max_bin": 32, "seed": seed, "subsample": 0.5}, matrix, 8) for seed in range(3)]
    flat = FlatBoosters.concatenate([FlatBoosters.from_booster(booster, cuts) for booster in trained])
    expected = [booster.predict(xgb.DMatrix(X)) for booster in trained]
    np.testing.assert_allclose(flat.predict_replicas(X), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(flat.predict_replicas(X, 1, 2), flat.predict_replicas(X)[1:2])
    mapped = FlatBoosters.from_arrays(BinEdges.from_arrays(cuts.to_arrays()), flat.to_arrays())
    np.testing.assert_array_equal(mapped.predict_replicas(X), flat.predict_replicas(X))


def test_a_model_of_another_kind_is_refused() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    with pytest.raises(ValidationError, match="reg:squarederror"):
        FlatBoosters.from_booster(xgb.train({"objective": "reg:squarederror"}, xgb.DMatrix(X, X[:, 0]), 2))
    other = BinEdges.from_matrix(xgb.QuantileDMatrix(rng.normal(size=(50, 5)), max_bin=4))
    with pytest.raises(ValidationError, match="no cut of its table"):
        FlatBoosters.from_booster(_booster(0), other)
    with pytest.raises(ValidationError, match="same cuts"):
        FlatBoosters.concatenate([FlatBoosters.from_booster(_booster(seed)) for seed in range(2)])
    with pytest.raises(BootstrapError, match="there are 1"):
        FlatBoosters.from_booster(_booster(0)).predict_replicas(np.zeros((1, 5)), 3)
