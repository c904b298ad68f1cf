"""Gradient boosting of one XGBoost model, with early stopping and limits.

`boost` is the one training loop of every XGBoost model that stops early on a validation set: `ProductionXGBoostTrainer`
calls it once, the ensemble's training once for each refit, on rows drawn from one `SharedRows`. Covers binary models
with the logistic loss on numeric features; tables are checked in `engine.xgboost_trainer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.compilation import kernel
from engine.errors import MemoryLimitError, TrainingError, TrainingTimeoutError, ValidationError
from engine.members.boosted_trees import ParsedTrees
from engine.members.xgboost_config import ProductionXGBoostConfig
from engine.resources.memory_guard import MemoryGuard
from engine.resources.xgboost_library import HasHandle, LibraryBooster, QuantileMatrix, XGBoostLibraryError

if TYPE_CHECKING:
    import xgboost as xgb

_ROUNDS_PER_LOOK = 32  # the most of which margins are held in memory


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

    values: NDArray[np.float32]  # (m, f), NaN = missing
    won: Array  # (m,) result of the first fighter in [0, 1]


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
    cuts: QuantileMatrix

    @classmethod
    def from_values(cls, X: Floats, config: ProductionXGBoostConfig) -> SharedRows:
        """Prepare rows X (n, f; NaN = missing)."""
        values = np.ascontiguousarray(X, dtype=np.float32)
        return cls(values, QuantileMatrix(values, max_bin=config.max_bin, n_jobs=config.n_jobs))

    def training_matrix(self, won: Array, weight: Array, config: ProductionXGBoostConfig) -> QuantileMatrix:
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
        return QuantileMatrix(
            self.values[rows], won[rows], weight[rows], ref=self.cuts, max_bin=config.max_bin, n_jobs=config.n_jobs
        )

    def validation_set(self, won: Array, mask: NDArray[np.bool_]) -> ValidationSet:
        """Return the rows of the mask, (n,), as a validation set; `won` as in `training_matrix`."""
        return ValidationSet(self.values[mask], won[mask])


@dataclass(frozen=True)
class BoostingResult:
    """A boosted model up to its best round.

    Attributes
    ----------
    model
        The model.
    log_losses
        The validation log loss after every round that was run.
    best_iteration
        Last round that the model keeps, counted from 0.
    n_jobs
        Threads of the training.
    """

    model: LibraryBooster
    log_losses: tuple[float, ...]
    best_iteration: int
    n_jobs: int = 1

    @cached_property
    def booster(self) -> xgb.Booster:
        """The model as one of the Python package `xgboost`, which is loaded here."""
        from xgboost import Booster

        return Booster({"nthread": self.n_jobs}, model_file=bytearray(self.model.save_raw("ubj")))


@kernel
def _add_leaves(
    columns: Array,
    left: Array,
    right: Array,
    column: Array,
    condition: Array,
    missing_left: Array,
    starts: Array,
    margin: Array,
    margins: Array,
) -> None:
    """Add the leaves of trees to the margin of each row, one tree after the other, in float32.

    Parameters
    ----------
    columns
        The rows by column, float32 (f, m); NaN = missing.
    left, right, column, condition, missing_left, starts
        The trees, as `engine.members.boosted_trees.ParsedTrees` has them.
    margin
        Margins before the first tree, float32 (m,).
    margins
        Receives the margins after each tree, float32 (trees, m).
    """
    for tree in range(len(starts)):
        root = np.uint64(starts[tree])
        for row in range(np.uint64(len(margin))):  # indices are unsigned because numba checks signed ones
            node = root
            while left[node] >= 0:
                value = columns[np.uint64(column[node]), row]
                goes_left = (value < condition[node]) | (np.isnan(value) & missing_left[node])
                near, far = np.uint64(left[node]), np.uint64(right[node])
                node = far + (near - far) * np.uint64(goes_left)  # no branch that a processor could mispredict
            margins[tree, row] = margin[row] + condition[node]
        margin = margins[tree]


class _HeldOutLosses:
    """The log loss of a validation set after each round, and the best round.

    A metric of `xgboost.train` is rounded to six digits, which moves the best round, and evaluating it takes two fifths
    of a training. Losses are therefore computed here, of several rounds at once: no round can be the last before
    `rounds_until`. The margins have XGBoost's bits: the same float32 sums, tree by tree.
    """

    def __init__(self, held_out: ValidationSet, patience: int | None) -> None:
        self.values: list[float] = []
        self.best = 0
        self._rows = held_out.values
        self._columns = np.ascontiguousarray(held_out.values.T)
        self._won, self._lost = held_out.won, 1.0 - held_out.won
        self._patience = patience
        self._margin = np.empty(0, np.float32)

    @property
    def is_over(self) -> bool:
        """True if the loss has not fallen for as many rounds as the training waits."""
        return self._patience is not None and len(self.values) > self.best + self._patience

    def rounds_until(self, most: int) -> int:
        """Return after which round the losses must be known, at most `most`: no earlier one can be the last."""
        waits = most if self._patience is None else self.best + self._patience + 1
        return min(most, waits, len(self.values) + _ROUNDS_PER_LOOK)

    def look(self, booster: LibraryBooster) -> None:
        """Compute the losses of the rounds since the last look."""
        trees = ParsedTrees.of(booster[len(self.values) :])
        margins = np.empty((len(trees.starts), len(self._rows)), np.float32)
        new = 0
        if not self.values:  # XGBoost computes the margin before the first round itself
            margins[0] = booster.margins_after_first_round(self._rows)
            self._margin, new = margins[0], 1
        _add_leaves(
            self._columns,
            trees.left,
            trees.right,
            trees.column,
            trees.condition,
            trees.missing_left,
            trees.starts[new:],
            self._margin,
            margins[new:],
        )
        self._margin = margins[-1]
        for margin in margins:
            # log(1 + exp(margin)) is max(margin, 0) + common, log(1 + exp(-margin)) is max(-margin, 0) + common.
            common = np.logaddexp(0.0, -np.abs(margin))
            losses = self._won * (np.maximum(-margin, 0) + common) + self._lost * (np.maximum(margin, 0) + common)
            self.values.append(float(losses.mean()))
            if self.values[-1] < self.values[self.best]:
                self.best = len(self.values) - 1


def boost(
    dtrain: HasHandle, held_out: ValidationSet, config: ProductionXGBoostConfig, limits: TrainingLimits
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
    losses, done = _HeldOutLosses(held_out, config.early_stopping_rounds), 0
    try:
        booster = LibraryBooster(config.booster_params(), dtrain)
        while done < config.n_estimators and not losses.is_over:
            until = losses.rounds_until(config.n_estimators)
            while done < until:
                done += 1
                booster.update(dtrain, done - 1)
                limits.check(f"round {done} of {config.n_estimators}")
            losses.look(booster)
    except XGBoostLibraryError as error:
        if "bad_alloc" in str(error):
            raise MemoryLimitError(f"XGBoost ran out of memory in round {done}") from error
        raise TrainingError(f"XGBoost could not train in round {done}: {error}") from error
    kept = done if config.early_stopping_rounds is None else losses.best + 1
    return BoostingResult(booster[:kept], tuple(losses.values), kept - 1, config.n_jobs)
