"""Gradient boosting of one XGBoost model, with early stopping and limits.

`boost` is the one training loop of every XGBoost model that stops early on a validation set: `ProductionXGBoostTrainer`
calls it once, the ensemble's training once for each refit, on rows drawn from one `SharedRows`. Covers binary models
with the logistic loss on numeric features; tables are checked in `engine.xgboost_trainer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.errors import MemoryLimitError, TrainingError, TrainingTimeoutError, ValidationError
from engine.members.xgboost_config import ProductionXGBoostConfig
from engine.resources.memory_guard import MemoryGuard


class TrainingLimits:
    """The time and memory limits of one training, counted from the construction of this object.

    Parameters
    ----------
    max_training_time_s
        Time limit in seconds.
    max_memory_mb
        Memory limit in MB of 2**20 bytes.
    clock
        Returns seconds; tests may replace it.
    """

    def __init__(
        self, max_training_time_s: float, max_memory_mb: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_training_time_s = max_training_time_s
        self.peak_memory_mb = 0.0
        self._guard = MemoryGuard(max_memory_mb)
        self._clock = clock
        self._started = clock()

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the construction."""
        return self._clock() - self._started

    def check(self, reached: str) -> None:
        """Raise TrainingTimeoutError or MemoryLimitError, naming the stage `reached`, if a limit is exceeded."""
        self.peak_memory_mb = max(self.peak_memory_mb, self._guard.check(f"training reached {reached}"))
        elapsed_seconds = self.elapsed_seconds
        if elapsed_seconds > self.max_training_time_s:
            raise TrainingTimeoutError(
                f"training took {elapsed_seconds:.1f} s, max_training_time_s is {self.max_training_time_s:g}; "
                f"reached {reached}; allow more time, or train fewer or smaller trees"
            )


@dataclass(frozen=True)
class ValidationSet:
    """Rows that are not trained on and that decide when boosting stops."""

    matrix: xgb.DMatrix
    won: Array  # (n,) result of the first fighter in [0, 1]


@dataclass(frozen=True)
class SharedRows:
    """Rows that many models are trained on with different weights; feature values are cut into bins once.

    Alternatives for training a replica, in CPU seconds for 10,000 x 100 rows and 64 / 256 bins; without subsampling all
    give the same bytes:

    * rows of positive weight with the shared cuts, the others as a plain matrix: 1.5 / 3.0 (this one)
    * weights set on one shared matrix, validation predictions read from its cache: 1.6 / 3.1
    * weights set on one shared matrix, a second matrix for the validation set: 2.5 / 4.0

    The chosen one changes no shared state, so threads may train at the same time.
    """

    values: NDArray[np.float32]  # (n, f), NaN = missing
    cuts: xgb.QuantileDMatrix

    @classmethod
    def from_values(cls, X: Floats, config: ProductionXGBoostConfig) -> SharedRows:
        """Prepare rows X (n, f; NaN = missing)."""
        values = np.ascontiguousarray(X, dtype=np.float32)
        return cls(values, xgb.QuantileDMatrix(values, max_bin=config.max_bin, nthread=config.n_jobs))

    def training_matrix(self, won: Array, weight: Array, config: ProductionXGBoostConfig) -> xgb.QuantileDMatrix:
        """Return the rows of positive weight, to train on.

        Parameters
        ----------
        won
            Result of the first fighter in [0, 1], (n,).
        weight
            Weight of each row, (n,).
        config
            Its `max_bin` must be that of the cuts.

        Raises
        ------
        ValidationError
            If all weights are 0.
        """
        rows = np.flatnonzero(weight > 0)
        if not rows.size:
            raise ValidationError("all weights are 0: there is no row to train on")
        return xgb.QuantileDMatrix(
            self.values[rows],
            won[rows],
            weight=weight[rows],
            ref=self.cuts,
            max_bin=config.max_bin,
            nthread=config.n_jobs,
        )

    def validation_set(self, won: Array, mask: NDArray[np.bool_]) -> ValidationSet:
        """Return the rows of the mask, (n,), as a validation set; `won` as in `training_matrix`."""
        return ValidationSet(xgb.DMatrix(self.values[mask], nthread=1), won[mask])


@dataclass(frozen=True)
class BoostingResult:
    """A boosted model up to its best round, and the validation log loss after every round that was run."""

    booster: xgb.Booster
    log_losses: tuple[float, ...]

    @property
    def best_iteration(self) -> int:
        """Last round that the model keeps, counted from 0."""
        return int(self.booster.num_boosted_rounds()) - 1


class _RoundCallback(xgb.callback.TrainingCallback):  # type: ignore[misc] # its types are not followed
    """The callback after every round: checks the limits, computes the validation log loss, decides when to stop.

    The loss is computed here with full precision: a metric of `xgboost.train` is rounded to six digits, which moves the
    best round.
    """

    def __init__(self, held_out: ValidationSet, config: ProductionXGBoostConfig, limits: TrainingLimits) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.best = 0
        self._rows = held_out.matrix
        self._won = held_out.won
        self._config = config
        self._limits = limits

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: object) -> bool:
        """Record a round; return True to stop."""
        margin = model.predict(self._rows, output_margin=True)  # incremental: XGBoost caches it for watched rows
        losses = self._won * np.logaddexp(0.0, -margin) + (1.0 - self._won) * np.logaddexp(0.0, margin)
        self.losses.append(float(losses.mean()))
        self._limits.check(f"round {epoch + 1} of {self._config.n_estimators}")
        if self.losses[-1] < self.losses[self.best]:
            self.best = epoch
        patience = self._config.early_stopping_rounds
        return patience is not None and epoch - self.best >= patience


def boost(
    dtrain: xgb.DMatrix, held_out: ValidationSet, config: ProductionXGBoostConfig, limits: TrainingLimits
) -> BoostingResult:
    """Boost until the validation log loss has not fallen for `early_stopping_rounds` rounds.

    The same rows, weights and seed give the same bytes of the model for any n_jobs.

    Parameters
    ----------
    dtrain
        Rows to train on.
    held_out
        The validation set.
    config
        Hyperparameters.
    limits
        Limits, checked after every round.

    Raises
    ------
    TrainingTimeoutError, MemoryLimitError
        If a limit is exceeded.
    TrainingError
        If XGBoost raises an error.
    ValidationError
        If the validation set is empty.
    """
    if not len(held_out.won):
        raise ValidationError("no rows are held out, so early stopping is impossible: hold some out")
    rounds = _RoundCallback(held_out, config, limits)
    try:
        booster = xgb.train(
            config.booster_params(),
            dtrain,
            num_boost_round=config.n_estimators,
            evals=[(held_out.matrix, "held_out")],
            verbose_eval=False,
            callbacks=[rounds],
        )
    except xgb.core.XGBoostError as error:
        reason = str(error).partition("\nStack trace")[0]
        if "bad_alloc" in reason:
            raise MemoryLimitError(f"XGBoost ran out of memory in round {len(rounds.losses) + 1}") from error
        raise TrainingError(f"XGBoost could not train in round {len(rounds.losses) + 1}: {reason}") from error
    kept = len(rounds.losses) if config.early_stopping_rounds is None else rounds.best + 1
    return BoostingResult(booster[:kept], tuple(rounds.losses))
