from __future__ import annotations

import numpy as np
import pytest
import xgboost as xgb

from engine.boosters import BoosterSet
from engine.errors import BootstrapError, ValidationError

_PARAMS = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}


def _booster(seed: int, features: int = 5) -> xgb.Booster:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, features))
    won = (X[:, 0] > rng.normal(size=300)).astype(int)
    X[rng.random(X.shape) < 0.1] = np.nan
    return xgb.train(_PARAMS, xgb.DMatrix(X, won, feature_names=[f"x{i}" for i in range(features)]), 8)


@pytest.fixture(scope="module")
def boosters() -> BoosterSet:
    return BoosterSet.concatenate([BoosterSet((_booster(seed),)) for seed in range(3)])


def test_predictions_are_those_of_xgboost(boosters: BoosterSet) -> None:
    X = np.random.default_rng(9).normal(size=(40, 5))
    X[::3, 0] = np.nan
    names = [f"x{i}" for i in range(5)]
    expected = [booster.predict(xgb.DMatrix(X, feature_names=names)) for booster in boosters.boosters]
    np.testing.assert_array_equal(boosters.predict_replicas(X), expected)
    np.testing.assert_array_equal(boosters.predict_replicas(X, 1, 2), expected[1:2])


def test_blobs_bring_the_same_models_back(boosters: BoosterSet) -> None:
    blobs = boosters.to_blobs()
    assert list(blobs) == ["replica_000.ubj", "replica_001.ubj", "replica_002.ubj"]
    again = BoosterSet.from_blobs(dict(reversed(blobs.items())))
    assert again.to_blobs() == blobs
    X = np.random.default_rng(9).normal(size=(40, 5))
    np.testing.assert_array_equal(again.predict_replicas(X), boosters.predict_replicas(X))


def test_blobs_that_are_not_models_are_refused(boosters: BoosterSet) -> None:
    blobs = boosters.to_blobs()
    with pytest.raises(ValidationError, match=r"none is named replica_001\.ubj"):
        BoosterSet.from_blobs({"replica_000.ubj": blobs["replica_000.ubj"], "odd.ubj": blobs["replica_001.ubj"]})
    with pytest.raises(ValidationError, match=r"replica_000\.ubj is not a model"):
        BoosterSet.from_blobs({"replica_000.ubj": b"{}"})


def test_sets_that_make_no_sense_are_refused(boosters: BoosterSet) -> None:
    with pytest.raises(ValidationError, match=r"\[4, 5\]"):
        BoosterSet((*boosters.boosters, _booster(0, features=4)))
    with pytest.raises(ValidationError, match="must agree"):
        BoosterSet(())
    with pytest.raises(BootstrapError, match="there are 3"):
        boosters.predict_replicas(np.zeros((1, 5)), 3)
