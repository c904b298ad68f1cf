from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from engine.errors import BootstrapError, ValidationError
from engine.forest import FlatForests, ForestParams, fit_forest

_PARAMS = ForestParams(trees=7, max_depth=6, min_samples_leaf=3)


def _rows(n: int, seed: int = 0, missing: float = 0.15) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    X[:, 3:] = np.round(X[:, 3:])  # ties
    X[:, 5] = np.where(rng.random(n) < 0.5, np.nan, 0.0)  # splits on nothing but being missing
    X[:, :5][rng.random((n, 5)) < missing] = np.nan
    return X


@pytest.fixture(scope="module")
def models() -> list[RandomForestClassifier]:
    X = _rows(600)
    rng = np.random.default_rng(1)
    won = (np.nan_to_num(X[:, 0]) + np.isnan(X[:, 5]) + rng.normal(size=600) > 0.5).astype(np.int8)
    weights = [rng.multinomial(600, np.ones(600) / 600).astype(float) for _ in range(4)]
    return [fit_forest(X, won, weight, _PARAMS, seed) for seed, weight in enumerate(weights)]


@pytest.fixture(scope="module")
def forests(models: list[RandomForestClassifier]) -> FlatForests:
    return FlatForests.concatenate([FlatForests.from_forest(model) for model in models])


@pytest.mark.parametrize("missing", [0.0, 0.15, 0.9])
def test_predictions_have_the_bits_of_scikit_learn(
    models: list[RandomForestClassifier], forests: FlatForests, missing: float
) -> None:
    X = _rows(700, seed=2, missing=missing)
    expected = np.array([model.predict_proba(X)[:, 1] for model in models])
    np.testing.assert_array_equal(forests.predict_replicas(X), expected)


def test_rows_on_a_threshold_go_where_scikit_learn_sends_them(
    models: list[RandomForestClassifier], forests: FlatForests
) -> None:
    trees = [estimator.tree_ for estimator in models[0].estimators_]
    thresholds = np.concatenate([tree.threshold[tree.feature == 0] for tree in trees])
    near = np.unique(thresholds.astype(np.float32))
    near = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    X = np.zeros((len(near), 6))
    X[:, 0] = near
    np.testing.assert_array_equal(forests.predict_replicas(X, 0, 1)[0], models[0].predict_proba(X)[:, 1])


def test_a_fit_depends_on_its_seed_and_not_on_the_number_of_jobs() -> None:
    X = _rows(200)
    won = (np.nan_to_num(X[:, 0]) > 0).astype(np.int8)
    one, two, other = (
        FlatForests.from_forest(fit_forest(X, won, None, _PARAMS, seed, n_jobs)).predict_replicas(X)
        for seed, n_jobs in ((5, 1), (5, 2), (6, 1))
    )
    np.testing.assert_array_equal(one, two)
    assert np.any(one != other)


def test_arrays_survive_a_read_only_memory_map(forests: FlatForests, tmp_path: Path) -> None:
    for name, array in forests.to_arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = FlatForests.from_arrays({path.stem: np.load(path, mmap_mode="r") for path in tmp_path.iterdir()})
    X = _rows(20)
    np.testing.assert_array_equal(mapped.predict_replicas(X), forests.predict_replicas(X))


def test_no_rows_give_no_predictions(forests: FlatForests) -> None:
    assert forests.predict_replicas(np.empty((0, 6))).shape == (4, 0)


def test_rows_that_do_not_fit_are_refused(forests: FlatForests) -> None:
    with pytest.raises(ValidationError, match=r"6 features.*5"):
        forests.predict_replicas(np.zeros((3, 5)))
    with pytest.raises(ValidationError, match=r"infinite.*\[2\]"):
        forests.predict_replicas(np.array([[0, 0, np.inf, 0, 0, 0]]))
    with pytest.raises(BootstrapError, match="there are 4"):
        forests.predict_replicas(np.zeros((3, 6)), 2, 5)


def test_forests_of_different_size_are_not_joined(models: list[RandomForestClassifier]) -> None:
    X = _rows(100)
    small = fit_forest(X, X[:, 3] > 0, None, ForestParams(trees=2), seed=0)
    with pytest.raises(ValidationError, match=r"classes 0 and 1"):
        FlatForests.from_forest(small.fit(X, np.ones(100)))
    small.fit(X, (X[:, 3] > 0).astype(int))
    with pytest.raises(ValidationError, match="must agree"):
        FlatForests.concatenate([FlatForests.from_forest(small), FlatForests.from_forest(models[0])])
