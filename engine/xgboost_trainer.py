"""Training of one XGBoost model, with strict validation and enforced limits.

    config = create_production_xgboost_config(n_estimators=300, max_memory_mb=4096)
    result = ProductionXGBoostTrainer(config).train_model(X_train, y_train, X_test, y_test)

Covers one binary model on a training and a test table; `engine.members.xgboost_fit` has the training loop.
`python -m engine.xgboost_trainer` runs a self-test on random rows.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.errors import MemoryLimitError, TrainingError, TrainingTimeoutError, ValidationError
from engine.members.xgboost_config import ProductionXGBoostConfig
from engine.members.xgboost_fit import TrainingLimits, ValidationSet, boost
from engine.resources.xgboost_library import QuantileMatrix

_log = logging.getLogger(__name__)

Table = pd.DataFrame | Array


def create_production_xgboost_config(
    n_estimators: int = 300,
    max_depth: int = 6,
    learning_rate: float = 0.05,
    max_memory_mb: float = 4096,
    max_training_time_s: float = 3600,
    early_stopping_rounds: int | None = 20,
    **others: Any,
) -> ProductionXGBoostConfig:
    """Return validated settings.

    Parameters
    ----------
    n_estimators
        Largest number of rounds.
    max_depth
        Largest depth of a tree.
    learning_rate
        Shrinkage of each round.
    max_memory_mb
        Limit for the resident memory of this process, in MiB.
    max_training_time_s
        Time limit, in seconds.
    early_stopping_rounds
        Stop after this many rounds without a lower log loss on the test rows; None to run all rounds.
    others
        Further fields of `ProductionXGBoostConfig`.

    Raises
    ------
    ValidationError
        If a setting does not exist or is out of bounds; the message names it.
    """
    unknown = sorted(others.keys() - ProductionXGBoostConfig.__dataclass_fields__.keys())
    if unknown:
        raise ValidationError(
            f"no such settings: {unknown}; there are {sorted(ProductionXGBoostConfig.__dataclass_fields__)}"
        )
    return ProductionXGBoostConfig(
        n_estimators=n_estimators,
        max_depth=max_depth,
        learning_rate=learning_rate,
        max_memory_mb=max_memory_mb,
        max_training_time_s=max_training_time_s,
        early_stopping_rounds=early_stopping_rounds,
        **others,
    )


@dataclass(frozen=True)
class XGBoostModel:
    """A trained model. It accepts only rows with the columns of its training.

    Attributes
    ----------
    booster : xgboost.Booster
        The trees.
    feature_names : tuple of str
        The columns, in order.
    allow_missing : bool
        Whether missing values are accepted.
    """

    booster: xgb.Booster
    feature_names: tuple[str, ...]
    allow_missing: bool = True

    def predict_proba(self, X: Table) -> Floats:
        """Return P(0) and P(1) for rows X (n, f): float64 (n, 2). Raises ValidationError as `train_model` does."""
        names, values = _check_table(X, "X", self.allow_missing, self.feature_names)
        p = self.booster.predict(xgb.DMatrix(values, feature_names=names, nthread=1)).astype(np.float64)
        return np.column_stack([1.0 - p, p])


@dataclass(frozen=True)
class XGBoostTrainingResult:
    """A trained model and its scores on the test rows.

    Attributes
    ----------
    model : XGBoostModel
        The model, up to its best round.
    best_iteration : int
        Number of the best round, counted from 0.
    log_loss : float
        Log loss of the model on the test rows, natural logarithm.
    accuracy : float
        Share of the test rows on the right side of 0.5.
    log_losses : tuple of float
        Log loss on the test rows after every round.
    training_seconds : float
        Duration.
    peak_memory_mb : float
        Highest resident memory after a round, in MiB.
    """

    model: XGBoostModel
    best_iteration: int
    log_loss: float
    accuracy: float
    log_losses: tuple[float, ...]
    training_seconds: float
    peak_memory_mb: float


class ProductionXGBoostTrainer:
    """Trains models with one configuration. It has no state, so threads may share it.

    Parameters
    ----------
    config
        Settings, as `create_production_xgboost_config` returns them.
    """

    def __init__(self, config: ProductionXGBoostConfig) -> None:
        self.config = config

    def train_model(self, X_train: Table, y_train: Any, X_test: Table, y_test: Any) -> XGBoostTrainingResult:
        """Train on the training rows until the log loss on the test rows rises.

        NaN and nulls are missing values, which XGBoost handles natively, unless the configuration forbids them. The
        test rows choose the number of rounds, so the scores on them are slightly optimistic.

        Parameters
        ----------
        X_train
            Features, (n, f): a DataFrame or an array.
        y_train
            Labels, (n,), 0 or 1, both present.
        X_test
            Features, (m, f), with the columns of X_train.
        y_test
            Labels, (m,).

        Raises
        ------
        ValidationError
            If the input does not fit; the message names the columns or labels.
        TrainingTimeoutError, MemoryLimitError
            If a limit is exceeded.
        TrainingError
            If XGBoost fails.
        """
        config = self.config
        limits = TrainingLimits(config.max_training_time_s, config.max_memory_mb)
        names, train = _check_table(X_train, "X_train", config.allow_missing)
        _, test = _check_table(X_test, "X_test", config.allow_missing, names)
        won = _check_labels(y_train, "y_train", len(train), both=True)
        test_won = _check_labels(y_test, "y_test", len(test), both=False)
        limits.check("the end of the checks of the input")
        dtrain = QuantileMatrix(train, won, max_bin=config.max_bin, n_jobs=config.n_jobs)
        held_out = ValidationSet(test, test_won)
        boosted = boost(dtrain, held_out, config, limits)
        boosted.booster.feature_names = names
        model = XGBoostModel(boosted.booster, tuple(names), config.allow_missing)
        p = model.predict_proba(test)[:, 1]
        result = XGBoostTrainingResult(
            model=model,
            best_iteration=boosted.best_iteration,
            log_loss=boosted.log_losses[boosted.best_iteration],
            accuracy=float(np.mean((p > 0.5) == (test_won == 1))),
            log_losses=boosted.log_losses,
            training_seconds=limits.elapsed_seconds,
            peak_memory_mb=limits.peak_memory_mb,
        )
        _log.info(
            "trained on %d rows in %.1f s: best round %d of %d, test log loss %.4f",
            len(train), result.training_seconds, result.best_iteration + 1, len(result.log_losses), result.log_loss,
        )  # fmt: skip
        return result


def _check_table(
    X: Table, what: str, allow_missing: bool, columns: Sequence[str] | None = None
) -> tuple[list[str], NDArray[np.float32]]:
    """Return column names and values, float32 (n, f), of a table that is valid for training or prediction.

    A frame must have exactly `columns`, in any order; an array must have the same number and takes their names.
    """
    if isinstance(X, np.ndarray):
        if X.ndim != 2:
            raise ValidationError(f"{what} must have two dimensions, its shape is {X.shape}")
        names = [f"f{i}" for i in range(X.shape[1])] if columns is None else list(columns)
        if X.shape[1] != len(names):
            raise ValidationError(f"{what} has {X.shape[1]} columns, expected {len(names)}")
        X = pd.DataFrame(X, columns=names)
    elif not isinstance(X, pd.DataFrame):
        raise ValidationError(f"{what} must be a DataFrame or an array, not {type(X).__name__}")
    names = [str(name) for name in X.columns]
    if X.empty:
        raise ValidationError(f"{what} is empty: it has {len(X)} rows and {len(names)} columns")
    if len(set(names)) < len(names):
        raise ValidationError(
            f"{what} has columns of the same name: {sorted({n for n in names if names.count(n) > 1})}"
        )
    if invalid := [name for name in names if set(name) & set("[]<")]:
        raise ValidationError(f"{what} has column names that XGBoost cannot keep, with [, ] or <: {invalid}")
    if columns is not None:
        missing, extra = sorted(set(columns) - set(names)), sorted(set(names) - set(columns))
        if missing or extra:
            raise ValidationError(f"{what} has other columns than the training data: missing {missing}, extra {extra}")
        X = X.set_axis(names, axis=1)[list(columns)]
        names = list(columns)
    non_numeric = {
        name: str(kind)
        for name, kind in zip(names, X.dtypes, strict=True)
        if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind)
    }
    if non_numeric:
        raise ValidationError(f"{what} has columns that are not numbers: {non_numeric}")
    with np.errstate(over="ignore"):
        values = X.to_numpy(dtype=np.float32, na_value=np.nan)
    _name_columns(np.isinf(values), names, f"{what} has infinite values, or beyond the range of float32, in")
    if not allow_missing:
        _name_columns(np.isnan(values), names, f"{what} has null values, which allow_missing=False forbids, in")
    return names, values


def _name_columns(bad: NDArray[np.bool_], names: Sequence[str], complaint: str) -> None:
    """Raise ValidationError naming the columns that contain a bad value."""
    if bad.any():
        columns = {name: int(count) for name, count in zip(names, bad.sum(axis=0), strict=True) if count}
        raise ValidationError(f"{complaint} (column: rows) {columns}")


def _check_labels(y: Any, what: str, rows: int, both: bool) -> NDArray[np.int8]:
    """Return labels as int8 (rows), each 0 or 1; `both` requires that both values occur."""
    labels = np.asarray(y)
    if labels.shape != (rows,):
        raise ValidationError(f"{what} has shape {labels.shape}, expected ({rows},): one label for each row")
    if nulls := int(pd.isna(labels).sum()):
        raise ValidationError(f"{what} has {nulls} rows without a label; leave those rows out")
    found = list(pd.unique(labels))
    if any(label not in (0, 1) for label in found):
        raise ValidationError(f"{what} must hold 0 and 1 only, found {[str(label) for label in found[:5]]}")
    if both and len(found) < 2:
        raise ValidationError(f"{what} holds only {found[0]}: a model needs rows of both outcomes")
    return labels.astype(np.int8)


def _self_test() -> list[str]:
    """Train on random rows and return the verified facts. Raises TrainingError at the first fact that does not hold."""
    rng = np.random.default_rng(0)
    values = np.where(rng.random((2000, 10)) < 0.1, np.nan, rng.normal(size=(2000, 10)))
    X = pd.DataFrame(values, columns=[f"feature_{i}" for i in range(10)])
    y = (rng.random(len(X)) < 1 / (1 + np.exp(-np.nan_to_num(values[:, 0])))).astype(int)

    def train(table: pd.DataFrame, **settings: Any) -> XGBoostTrainingResult:
        trainer = ProductionXGBoostTrainer(create_production_xgboost_config(**settings))
        return trainer.train_model(table[:1500], y[:1500], table[1500:], y[1500:])

    one, two = train(X), train(X, n_jobs=2)
    facts = {
        f"log loss {one.log_loss:.4f} on the test rows beats 0.6931, that of a coin": one.log_loss < np.log(2),
        f"training stopped early, after round {len(one.log_losses)} of 300": len(one.log_losses) < 300,
        "one and two threads give the same bytes of model": one.model.booster.save_raw()
        == two.model.booster.save_raw(),
    }
    if false := [fact for fact, holds in facts.items() if not holds]:
        raise TrainingError(f"does not hold: {false}")
    endless: dict[str, Any] = {"n_estimators": 100_000, "early_stopping_rounds": None}
    refusals: list[tuple[type[Exception], pd.DataFrame, dict[str, Any]]] = [
        (ValidationError, X.assign(feature_3=np.inf), {}),
        (TrainingTimeoutError, X, {"max_training_time_s": 0.5, **endless}),
        (MemoryLimitError, X, {"max_memory_mb": 1}),
    ]
    verified = list(facts)
    for error, table, settings in refusals:
        try:
            train(table, **settings)
        except error as refusal:
            verified.append(f"{error.__name__}: {refusal}")
        else:
            raise TrainingError(f"{error.__name__} was expected with settings {settings}, but the training succeeded")
    return verified


if __name__ == "__main__":
    for line in _self_test():
        sys.stdout.write(f"verified: {line}\n")
