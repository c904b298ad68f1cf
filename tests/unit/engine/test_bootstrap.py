from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from engine.arrays import ReplicaSet
from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config, resample_events
from engine.errors import BootstrapError, MemoryLimitError, ValidationError
from engine.members.weights import check_weights, weighted_sum

WEIGHTS = {"random_forest": 0.4, "xgboost": 0.35, "neural_network": 0.25}


@dataclass
class Member:
    """A member whose replica r says 1 / (2 + r + row's value)."""

    n_replicas: int = 30
    broken: int | None = None

    def predict_replicas(self, X: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
        replicas = np.arange(start, self.n_replicas if stop is None else stop)
        answer = 1.0 / (2.0 + replicas[:, None] + X[:, 0])
        if self.broken is not None:
            answer[replicas == self.broken] = np.nan
        return answer


def _models(**changes: Member) -> dict[str, Member]:
    return {name: Member() for name in WEIGHTS} | changes


def _sample(models: object, X: pd.DataFrame, **options: object) -> np.ndarray:
    sampler = ThreadSafeBootstrapSampler(create_bootstrap_config(**{"n_bootstrap": 30} | options))  # type: ignore[arg-type]
    return sampler.sample_bootstrap_predictions(models, X, WEIGHTS)  # type: ignore[arg-type]


@pytest.fixture
def X() -> pd.DataFrame:
    return pd.DataFrame({"x": [0.0, 1.0, 2.0]})


def test_the_guide_s_call_gives_a_row_for_every_replica(X: pd.DataFrame) -> None:
    predictions = _sample(_models(), X)
    assert predictions.shape == (30, 3)
    np.testing.assert_allclose(predictions[4], 1.0 / (6.0 + X["x"]))


@pytest.mark.parametrize("jobs", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 7, 25, 100])
def test_jobs_and_batches_never_change_a_bit(X: pd.DataFrame, jobs: int, batch: int) -> None:
    assert np.array_equal(_sample(_models(), X, n_jobs=jobs, batch_size=batch), _sample(_models(), X, n_jobs=1))


def test_a_plain_model_has_no_bootstrap(X: pd.DataFrame) -> None:
    plain = RandomForestClassifier(2, random_state=0).fit(X, [0, 1, 0])
    with pytest.raises(BootstrapError, match="random_forest is a RandomForestClassifier without bootstrap replicas"):
        _sample(_models(random_forest=plain), X)


def test_too_few_replicas_are_an_error_with_both_numbers(X: pd.DataFrame) -> None:
    with pytest.raises(BootstrapError, match="xgboost has 5 replicas, but n_bootstrap is 30"):
        _sample(_models(xgboost=Member(n_replicas=5)), X)


def test_a_model_s_replicas_know_their_columns() -> None:
    models = ReplicaSet(_models(), ["x", "y"])
    X = pd.DataFrame({"y": [9.0, 9.0], "x": [0.0, 1.0]})
    np.testing.assert_allclose(_sample(models, X)[4], 1.0 / (6.0 + X["x"]))
    with pytest.raises(ValidationError, match=r"missing \['y'\], unexpected \['z'\]"):
        _sample(models, X.rename(columns={"y": "z"}))


def test_a_replica_that_fails_is_named(X: pd.DataFrame) -> None:
    with pytest.raises(BootstrapError, match="replica 17 of neural_network"):
        _sample(_models(neural_network=Member(broken=17)), X)


def test_memory_that_is_not_there_is_an_error_with_figures(X: pd.DataFrame) -> None:
    with pytest.raises(MemoryLimitError, match=r"max_memory_mb"):
        _sample(_models(), X, max_memory_mb=1)


def test_rows_are_checked(X: pd.DataFrame) -> None:
    with pytest.raises(ValidationError, match="X is empty"):
        _sample(_models(), X.iloc[:0])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"random_forest": 0.4, "xgboost": 0.35, "neural_network": 0.15}, "must sum to 1, not 0.9"),
        ({"random_forest": 1.3, "xgboost": -0.3, "neural_network": 0.0}, "must not be negative"),
        ({"random_forest": 1.0}, "weights are for"),
        ({"random_forest": float("nan"), "xgboost": 0.35, "neural_network": 0.25}, "must sum to 1"),
    ],
)
def test_bad_weights_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        check_weights(weights, dict.fromkeys(WEIGHTS))


@pytest.mark.parametrize(
    "bad",
    [
        {"n_bootstrap": 0},
        {"confidence_level": 1.0},
        {"n_jobs": 0},
        {"max_memory_mb": 0},
        {"max_memory_mb": float("nan")},
        {"batch_size": 0},
    ],
)
def test_a_bad_configuration_names_its_value(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        create_bootstrap_config(**bad)  # type: ignore[arg-type]


def test_events_are_drawn_whole_and_by_their_own_stream() -> None:
    event = np.array(["a", "a", "b", "c", "c", "c"])
    draws = [resample_events(event, np.random.SeedSequence(1, spawn_key=(replica,))) for replica in range(50)]
    for weight in draws:
        assert weight[0] == weight[1]
        assert weight[3] == weight[4] == weight[5]
        assert weight[0] + weight[2] + weight[3] == 3
    assert np.array_equal(draws[7], resample_events(event, np.random.SeedSequence(1, spawn_key=(7,))))
    assert len({tuple(weight) for weight in draws}) > 5


def test_the_sum_does_not_depend_on_the_order_of_the_mapping() -> None:
    rng = np.random.default_rng(0)
    parts = {name: rng.random(1000) for name in WEIGHTS}
    backwards = dict(reversed(list(parts.items())))
    assert np.array_equal(weighted_sum(parts, WEIGHTS), weighted_sum(backwards, WEIGHTS))
