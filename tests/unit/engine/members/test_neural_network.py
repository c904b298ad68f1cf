from __future__ import annotations

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from engine.errors import BootstrapError, TrainingError, ValidationError
from engine.members.network_fit import NetworkParams, fit_network
from engine.members.neural_network import StackedNetworks
from engine.resources.blas_threads import one_blas_thread

_PARAMS = NetworkParams(hidden=(8, 4), epochs=3)


def _rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(loc=3.0, scale=5.0, size=(n, 6))
    won = (X[:, 0] + rng.normal(size=n) > 3.0).astype(np.int8)
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:, 5] = np.nan  # never known
    return X, won


def _weights() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.multinomial(400, np.ones(400) / 400).astype(float) for _ in range(5)]


@pytest.fixture(scope="module")
def networks() -> StackedNetworks:
    X, won = _rows(400)
    return StackedNetworks.concatenate(
        [fit_network(X, won, weight, _PARAMS, seed) for seed, weight in enumerate(_weights())]
    )


def _by_scikit_learn(X: np.ndarray, won: np.ndarray, weight: np.ndarray, seed: int) -> Pipeline:
    X, won, weight = X[weight > 0], won[weight > 0], weight[weight > 0]
    imputer, scaler = SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    network = MLPClassifier(_PARAMS.hidden, alpha=_PARAMS.alpha, batch_size=200, random_state=seed)
    with one_blas_thread():
        rows = scaler.fit_transform(imputer.fit_transform(X), sample_weight=weight)
        for _ in range(_PARAMS.epochs):
            network.partial_fit(rows, won, sample_weight=weight, classes=[0, 1])
    return Pipeline([("impute", imputer), ("scale", scaler), ("network", network)])


def test_networks_are_those_of_scikit_learn(networks: StackedNetworks) -> None:
    X, won = _rows(400)
    Z, _ = _rows(150, seed=2)
    for seed, weight in enumerate(_weights()):
        pipeline = _by_scikit_learn(X, won, weight, seed)
        imputer, scaler, network = (step for _, step in pipeline.steps)
        np.testing.assert_array_equal(networks.medians[seed], imputer.statistics_)
        np.testing.assert_array_equal(networks.means[seed], scaler.mean_)
        np.testing.assert_array_equal(networks.scales[seed], scaler.scale_)
        for ours, theirs in zip(networks.weights, network.coefs_, strict=True):
            np.testing.assert_array_equal(ours[seed], theirs)
        for ours, theirs in zip(networks.biases, network.intercepts_, strict=True):
            np.testing.assert_array_equal(ours[seed, 0], theirs)
        np.testing.assert_allclose(
            networks.predict_replicas(Z, seed, seed + 1)[0], pipeline.predict_proba(Z)[:, 1], rtol=0, atol=1e-9
        )


def test_a_network_learns_and_says_nothing_of_convergence() -> None:
    X, won = _rows(2000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit_network(X, won, None, NetworkParams(epochs=10), seed=0)
    X, won = _rows(2000, seed=3)
    assert np.mean((model.predict_replicas(X)[0] > 0.5) == won) > 0.75


def test_the_same_seed_gives_the_same_network() -> None:
    X, won = _rows(300)
    one, same, other = (fit_network(X, won, None, _PARAMS, seed).predict_replicas(X) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_rows_of_weight_zero_take_no_part() -> None:
    X, won = _rows(300)
    weight = np.where(np.arange(300) < 200, 1.0, 0.0)
    poisoned = np.where(weight[:, None] > 0, X, 1e6)
    expected = fit_network(X[:200], won[:200], weight[:200], _PARAMS, 0).predict_replicas(X)
    np.testing.assert_array_equal(fit_network(poisoned, won, weight, _PARAMS, 0).predict_replicas(X), expected)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy warns of the very overflow that is refused here
def test_divergence_is_an_error() -> None:
    X, won = _rows(300)
    with pytest.raises(TrainingError, match="learning_rate 1e\\+200"):
        fit_network(X, won, None, NetworkParams(hidden=(8, 4), learning_rate=1e200, epochs=3), seed=0)


def test_arrays_survive_a_read_only_memory_map(networks: StackedNetworks, tmp_path: Path) -> None:
    for name, array in networks.to_arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    mapped = StackedNetworks.from_arrays({path.stem: np.load(path, mmap_mode="r") for path in tmp_path.iterdir()})
    X, _ = _rows(20)
    np.testing.assert_array_equal(mapped.predict_replicas(X), networks.predict_replicas(X))


def test_rows_that_do_not_fit_are_refused(networks: StackedNetworks) -> None:
    with pytest.raises(ValidationError, match="6 features"):
        networks.predict_replicas(np.zeros((3, 7)))
    with pytest.raises(BootstrapError, match="there are 5"):
        networks.predict_replicas(np.zeros((3, 6)), 5)


def test_networks_with_other_layers_are_not_stacked(networks: StackedNetworks) -> None:
    X, won = _rows(100)
    wider = fit_network(X, won, None, NetworkParams(hidden=(9, 4), epochs=1), 0)
    with pytest.raises(ValidationError, match="must agree"):
        StackedNetworks.concatenate([networks, wider])
    model = MLPClassifier((8, 4), activation="tanh").partial_fit(np.nan_to_num(X), won, classes=[0, 1])
    with pytest.raises(ValidationError, match="tanh"):
        StackedNetworks.from_classifier(model)


def _blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_linear_algebra_is_held_to_one_thread_until_the_last_one_leaves() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with one_blas_thread():
            entered.set()
            leave.wait(timeout=30)

    other = threading.Thread(target=hold)
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            assert _blas_threads() == {1}
        assert _blas_threads() == {2}
        with one_blas_thread():
            other.start()
            assert entered.wait(timeout=30)
        assert _blas_threads() == {1}
        leave.set()
        other.join(timeout=30)
        with one_blas_thread():
            assert _blas_threads() == {1}
