from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from engine.errors import MemoryLimitError, TrainingError, TrainingTimeoutError, ValidationError
from engine.members.xgboost_config import ProductionXGBoostConfig
from engine.members.xgboost_fit import SharedRows, TrainingLimits, ValidationSet, boost
from engine.resources.xgboost_library import QuantileMatrix
from engine.xgboost_trainer import ProductionXGBoostTrainer, XGBoostTrainingResult, create_production_xgboost_config

_NAMES = ["red_age", "blue_age", "reach"]


def _data(rows: int = 400) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(rows, 3)), columns=_NAMES)
    y = pd.Series((X["red_age"] + rng.normal(size=rows) > 0).astype(int))
    X = X.mask(rng.random(X.shape) < 0.1)
    half = rows // 2
    return {"X_train": X[:half], "y_train": y[:half], "X_test": X[half:], "y_test": y[half:]}


def _train(data: dict[str, Any] | None = None, **settings: Any) -> XGBoostTrainingResult:
    settings = {"n_estimators": 40, "max_depth": 3} | settings
    trainer = ProductionXGBoostTrainer(create_production_xgboost_config(**settings))
    return trainer.train_model(**(data or _data()))


def _bytes(result: XGBoostTrainingResult) -> bytes:
    return bytes(result.model.booster.save_raw("ubj"))


def test_scores_are_those_of_the_kept_model_on_the_test_rows() -> None:
    data = _data()
    result = _train(data)
    p = result.model.predict_proba(data["X_test"])
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    won = data["y_test"].to_numpy()
    assert result.log_loss == pytest.approx(-np.mean(np.log(np.where(won == 1, p[:, 1], p[:, 0]))), rel=1e-6)
    assert result.accuracy == np.mean((p[:, 1] > 0.5) == (won == 1)) > 0.6
    assert result.peak_memory_mb > 50
    assert result.training_seconds > 0


def test_training_stops_early_and_keeps_the_best_round() -> None:
    result = _train(n_estimators=300, early_stopping_rounds=5, learning_rate=0.3)
    assert result.best_iteration == int(np.argmin(result.log_losses))
    assert len(result.log_losses) == result.best_iteration + 1 + 5
    assert result.model.booster.num_boosted_rounds() == result.best_iteration + 1
    assert _train(early_stopping_rounds=None).best_iteration == 39


def test_the_model_is_that_of_xgboost_itself() -> None:
    data = _data()
    result = _train(data, early_stopping_rounds=5, learning_rate=0.3)
    config = create_production_xgboost_config(n_estimators=40, max_depth=3, learning_rate=0.3)
    dtrain = xgb.QuantileDMatrix(data["X_train"], data["y_train"])
    oracle = xgb.train(
        config.booster_params() | {"disable_default_eval_metric": False, "eval_metric": "logloss"},
        dtrain,
        40,
        evals=[(xgb.DMatrix(data["X_test"], data["y_test"]), "test")],
        early_stopping_rounds=5,
        verbose_eval=False,
    )
    assert oracle.best_iteration == result.best_iteration
    np.testing.assert_array_equal(
        result.model.predict_proba(data["X_test"])[:, 1],
        oracle[: result.best_iteration + 1].predict(xgb.DMatrix(data["X_test"])).astype(float),
    )


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"subsample": 0.7, "colsample_bytree": 0.5}])
def test_the_same_input_and_seed_give_the_same_bytes_for_any_number_of_threads(settings: dict[str, Any]) -> None:
    assert _bytes(_train(**settings)) == _bytes(_train(**settings)) == _bytes(_train(n_jobs=2, **settings))
    if settings:
        assert _bytes(_train(**settings)) != _bytes(_train(seed=1, **settings))


def test_arrays_and_frames_give_the_same_predictions() -> None:
    data = _data()
    arrays = {name: value.to_numpy() for name, value in data.items()}
    of_frames, of_arrays = _train(data).model, _train(arrays).model
    assert of_frames.feature_names == tuple(_NAMES)
    X = data["X_test"]
    expected = of_frames.predict_proba(X)
    np.testing.assert_array_equal(of_arrays.predict_proba(X.to_numpy()), expected)
    np.testing.assert_array_equal(of_frames.predict_proba(X[_NAMES[::-1]]), expected)  # columns go by name


def _with(**changes: Any) -> dict[str, Any]:
    return _data() | changes


_X, _y = _data()["X_train"], _data()["y_train"]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (_with(X_train=_X[:0]), "X_train is empty: it has 0 rows"),
        (_with(X_train=_X[[]]), "X_train is empty.*0 columns"),
        (_with(X_train=[[1.0]]), "X_train must be a DataFrame or an array, not list"),
        (_with(X_train=np.zeros(3)), "two dimensions"),
        (_with(X_test=_X.assign(reach=np.inf)), "X_test has infinite values.*'reach': 200"),
        (_with(X_train=_X.assign(reach=1e300)), "beyond the range of float32.*'reach': 200"),
        (_with(X_train=_X.assign(reach="long")), r"X_train has columns that are not numbers.*'reach': '(str|object)'"),
        (_with(X_train=_X.assign(reach=1j)), "not numbers.*'reach': 'complex128'"),
        (_with(X_train=_X.assign(reach=pd.Timestamp(0))), "not numbers.*'reach': 'datetime"),
        (_with(X_train=_X.set_axis(["a", "b", "a"], axis=1)), r"same name: \['a'\]"),
        (_with(X_train=_X.set_axis(["a", "b", "c[1]"], axis=1)), r"cannot keep.*c\[1\]"),
        (_with(X_test=_X[["red_age", "reach"]]), r"missing \['blue_age'\], extra \[\]"),
        (_with(X_test=_X.assign(odds=1.0)), r"missing \[\], extra \['odds'\]"),
        (_with(X_test=np.zeros((4, 2))), "X_test has 2 columns, expected 3"),
        (_with(y_train=_y[:-1]), r"y_train has shape \(199,\), expected \(200,\)"),
        (_with(y_train=_y + 1), "y_train must hold 0 and 1 only, found"),
        (_with(y_train=_y.astype(str)), "y_train must hold 0 and 1 only"),
        (_with(y_test=_y.astype(float).where(_y == 1)), "y_test has .* rows without a label"),
        (_with(y_test=_y.astype("Int64").where(_y == 1)), "y_test has .* rows without a label"),
        (_with(y_train=_y * 0), "y_train holds only 0"),
    ],
)
def test_input_that_is_not_what_it_must_be_is_refused(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        _train(data)


def test_missing_values_are_refused_only_where_the_configuration_says_so() -> None:
    with pytest.raises(ValidationError, match=r"X_train has null values.*'red_age': \d+"):
        _train(allow_missing=False)
    nullable = _X.convert_dtypes().assign(reach=pd.array([None, 1] * 100, dtype="Int64"))
    assert _train(_with(X_train=nullable, X_test=nullable, y_test=_y)).best_iteration >= 0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"n_estimators": 0}, "n_estimators must be a whole number from 1"),
        ({"n_estimators": 1.5}, "n_estimators must be a whole number"),
        ({"max_depth": "6"}, "max_depth must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be a number from"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number from"),
        ({"max_memory_mb": -1}, "max_memory_mb"),
        ({"max_training_time_s": 0}, "max_training_time_s"),
        ({"early_stopping_rounds": 0}, "early_stopping_rounds"),
        ({"n_jobs": -1}, "n_jobs"),
        ({"depth": 3}, r"no such settings: \['depth'\]"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        create_production_xgboost_config(**settings)


def _matrices(weight: np.ndarray, config: ProductionXGBoostConfig) -> tuple[QuantileMatrix, ValidationSet]:
    data = _data()
    rows, won = SharedRows.from_values(data["X_train"].to_numpy(), config), data["y_train"].to_numpy()
    return rows.training_matrix(won, weight, config), rows.validation_set(won, weight == 0)


def test_the_time_limit_ends_a_training_between_rounds() -> None:
    config = ProductionXGBoostConfig()
    ticks = iter(range(100))
    limits = TrainingLimits(max_training_time_s=5.5, max_memory_mb=1e6, clock=lambda: float(next(ticks)))
    weight = np.arange(200) % 3
    with pytest.raises(TrainingTimeoutError, match=r"took 6\.0 s, max_training_time_s is 5\.5; reached round 6 of 300"):
        boost(*_matrices(weight, config), config, limits)


def test_the_memory_limit_ends_a_training() -> None:
    with pytest.raises(MemoryLimitError, match=r"max_memory_mb is 10\.0"):
        _train(max_memory_mb=10)


def test_a_replica_is_that_of_repeated_rows() -> None:
    config = ProductionXGBoostConfig(n_estimators=15, max_depth=3, seed=3)
    weight = np.random.default_rng(0).multinomial(200, np.ones(200) / 200)
    limits = TrainingLimits(max_training_time_s=100, max_memory_mb=1e6)
    dtrain, held_out = _matrices(weight, config)
    replica = boost(dtrain, held_out, config, limits)
    data = _data()
    X, won = data["X_train"].to_numpy(dtype=np.float32), data["y_train"].to_numpy()
    again = np.repeat(np.arange(200), weight)
    copies = xgb.QuantileDMatrix(X[again], won[again], ref=SharedRows.from_values(X, config).cuts)
    oracle = boost(copies, held_out, config, limits)
    assert len(held_out.won) == np.sum(weight == 0)
    assert replica.best_iteration == oracle.best_iteration
    Z = xgb.DMatrix(X)
    np.testing.assert_allclose(replica.booster.predict(Z), oracle.booster.predict(Z), atol=1e-5)


@pytest.mark.parametrize("patience", [1, 7, None])
def test_losses_and_the_last_round_are_those_of_xgboost_s_own_margins(patience: int | None) -> None:
    config = ProductionXGBoostConfig(
        n_estimators=70, max_depth=4, learning_rate=0.3, seed=3, subsample=0.7, early_stopping_rounds=patience
    )
    dtrain, held_out = _matrices(np.arange(200) % 3, config)
    boosted = boost(dtrain, held_out, config, TrainingLimits(100, 1e6))
    data, used = _data(), np.flatnonzero(np.arange(200) % 3)
    X, won = data["X_train"].to_numpy(np.float32), data["y_train"].to_numpy()
    cuts = xgb.QuantileDMatrix(X, max_bin=config.max_bin)
    theirs = xgb.QuantileDMatrix(X[used], won[used], weight=used % 3, ref=cuts, max_bin=config.max_bin)
    booster, rows, expected = xgb.Booster(config.booster_params(), [theirs]), xgb.DMatrix(held_out.values), []
    while len(expected) < 70 and (patience is None or len(expected) <= int(np.argmin(expected or [0])) + patience):
        booster.update(theirs, len(expected))
        margin = booster.predict(rows, output_margin=True, validate_features=False)
        losses = held_out.won * np.logaddexp(0.0, -margin) + (1.0 - held_out.won) * np.logaddexp(0.0, margin)
        expected.append(float(losses.mean()))
    assert boosted.log_losses == tuple(expected)
    assert boosted.best_iteration == (69 if patience is None else np.argmin(expected))
    assert boosted.booster.save_raw() == booster[: boosted.best_iteration + 1].save_raw()


def test_without_rows_there_is_no_training() -> None:
    config = ProductionXGBoostConfig()
    limits = TrainingLimits(max_training_time_s=100, max_memory_mb=1e6)
    with pytest.raises(ValidationError, match="no rows are held out"):
        boost(*_matrices(np.ones(200), config), config, limits)
    with pytest.raises(ValidationError, match="no row to train on"):
        _matrices(np.zeros(200), config)


def test_a_refusal_of_xgboost_is_a_training_error() -> None:
    config = ProductionXGBoostConfig()
    _, held_out = _matrices(np.arange(200) % 3, config)
    rows = SharedRows.from_values(_data()["X_train"].to_numpy(), config)
    dtrain = rows.training_matrix(np.full(200, 7.0), np.ones(200), config)
    with pytest.raises(TrainingError, match=r"round 1: .*base_score must be in \(0,1\)[^\n]*$"):
        boost(dtrain, held_out, replace(config, n_estimators=3), TrainingLimits(100, 1e6))


@pytest.mark.slow
def test_the_module_tests_itself() -> None:
    run = subprocess.run([sys.executable, "-m", "engine.xgboost_trainer"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("verified: ") == 6
    assert "TrainingTimeoutError: training took" in run.stdout
