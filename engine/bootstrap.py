"""The thread-safe bootstrap: which fights each replica is trained on, and the predictions of all replicas for a fight.

Every replica draws from its own seed sequences, so results are the same bits for any number of threads, any batch size
and any order. There is no global random state. Fights are resampled by event (the fights of one night share judges,
altitude and news), a fight and its mirror image together.

Covers resampling and replica predictions in batches within a memory limit. `engine.training` trains.

`python -m engine.selftest bootstrap` verifies an installation.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.arrays import Floats, ReplicaSet, ReplicatedMember
from engine.data.feature_matrix import check_features
from engine.errors import BootstrapError, ValidationError
from engine.members.weights import check_weights, weighted_sum
from engine.resources.memory_guard import MemoryGuard

MIN_REPLICAS = 10  # fewer replicas have no meaningful percentiles
_MIN_PARALLEL_WORK = 2_000_000  # values times replicas; less work is not worth starting threads
_MAX_BATCH_ROWS = 1024  # rows that stay in the second-level cache while all members predict them
_MIN_BATCH_PREDICTIONS = 51_200  # of rows by replicas, 2.9 MB with their temporary arrays; smaller batches are joined

_Batch = tuple[slice, int, int]
"""Rows, and the range of the replicas that predict them."""


@dataclass(frozen=True, slots=True)
class BootstrapConfig:
    """Settings of replica predictions; see `create_bootstrap_config`."""

    n_bootstrap: int = 100
    confidence_level: float = 0.95
    n_jobs: int = -1
    max_memory_mb: float = 4096.0
    batch_size: int = 25


def create_bootstrap_config(
    n_bootstrap: int = 100,
    confidence_level: float = 0.95,
    n_jobs: int = -1,
    max_memory_mb: float = 4096.0,
    batch_size: int = 25,
) -> BootstrapConfig:
    """Return validated settings.

    Parameters
    ----------
    n_bootstrap
        Number of replicas: 100 for speed, 1000 for precision.
    confidence_level
        Level of the percentile interval, in (0, 1).
    n_jobs
        Threads; -1 for one a core.
    max_memory_mb
        Limit for the resident memory of this process, in MiB.
    batch_size
        Largest number of replicas in memory at once in each thread, unless more of them take less than 3 MB: rows are
        predicted 1,024 at a time, so up to 50 replicas always do. Reduced if the memory limit requires it.

    Raises
    ------
    ValidationError
        If a value is out of bounds; the message names it.
    """
    if n_bootstrap < 1:
        raise ValidationError(f"n_bootstrap must be at least 1, not {n_bootstrap}")
    if not 0.0 < confidence_level < 1.0:
        raise ValidationError(f"confidence_level must lie between 0 and 1, not {confidence_level}")
    if n_jobs != -1 and n_jobs < 1:
        raise ValidationError(f"n_jobs must be -1 or at least 1, not {n_jobs}")
    if not max_memory_mb > 0:
        raise ValidationError(f"max_memory_mb must be positive, not {max_memory_mb}")
    if batch_size < 1:
        raise ValidationError(f"batch_size must be at least 1, not {batch_size}")
    return BootstrapConfig(n_bootstrap, confidence_level, n_jobs, max_memory_mb, batch_size)


def resolve_n_jobs(n_jobs: int) -> int:
    """Return the number of threads for `n_jobs`; -1 is one for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if n_jobs == -1 else n_jobs


def resample_events(event: NDArray[np.str_], stream: np.random.SeedSequence) -> NDArray[np.int64]:
    """Return how often one resample contains each fight, int64 (n,): whole events, drawn with replacement."""
    names, member = np.unique(event, return_inverse=True)
    drawn = np.random.default_rng(stream).integers(0, len(names), size=len(names))
    return np.asarray(np.bincount(drawn, minlength=len(names))[member], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class ThreadSafeBootstrapSampler:
    """Predicts fights with every replica of an ensemble.

    Attributes
    ----------
    config : BootstrapConfig
        Settings, as `create_bootstrap_config` returns them.
    """

    config: BootstrapConfig
    _guard: MemoryGuard = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_guard", MemoryGuard(self.config.max_memory_mb))

    def sample_bootstrap_predictions(
        self, models: Mapping[str, ReplicatedMember], X: pd.DataFrame, weights: Mapping[str, float]
    ) -> Floats:
        """Predict with each replica: the weighted sum over the members.

        Parameters
        ----------
        models
            Replicated members by name. `Ensemble.replica_set` also knows the columns that X must have; with a plain
            mapping X must have the columns in the order of the training.
        X
            Features, (n, features); missing values are allowed.
        weights
            Weight of each member by the same names, summing to 1.

        Returns
        -------
        float64 (n_bootstrap, n)
            P(first-listed wins).

        Raises
        ------
        BootstrapError
            If a member has no or too few replicas (a plain fitted model has none), or a replica fails.
        ValidationError
            If the input does not fit.
        MemoryLimitError
            If the memory limit leaves no room for one replica.
        """
        values = check_features(X, models.columns if isinstance(models, ReplicaSet) else None)
        return self.sample_rows(models, values, weights)

    def sample_rows(
        self, models: Mapping[str, ReplicatedMember], values: Floats, weights: Mapping[str, float]
    ) -> Floats:
        """Predict as `sample_bootstrap_predictions` does, for validated rows: float64 (n, features), NaN if missing."""
        check_weights(weights, models)
        self._check_replicas(models)
        total = np.empty((self.config.n_bootstrap, len(values)))

        def fill(batch: _Batch) -> None:
            rows, start, stop = batch
            self._guard.check(f"predicting replicas {start} to {stop - 1}")
            total[start:stop, rows] = weighted_sum(
                {
                    name: _checked(name, model.predict_replicas(values[rows], start, stop), start)
                    for name, model in models.items()
                },
                weights,
            )

        threads = resolve_n_jobs(self.config.n_jobs)
        batches = list(self._batches(len(values), len(models), threads))
        if min(threads, len(batches)) == 1 or values.size * self.config.n_bootstrap < _MIN_PARALLEL_WORK:
            for batch in batches:
                fill(batch)
        else:
            with ThreadPoolExecutor(min(threads, len(batches))) as pool:
                deque(pool.map(fill, batches), maxlen=0)  # raises the first error
        return total

    def _batches(self, rows: int, members: int, threads: int) -> Iterator[_Batch]:
        """Split the work so that all threads have some and no thread needs more memory than the limit allows."""
        even = -(-self.config.n_bootstrap // threads)
        some = min(rows, _MAX_BATCH_ROWS)
        wanted = min(max(self.config.batch_size, _MIN_BATCH_PREDICTIONS // max(1, some)), even)
        # A member's output, the temporary arrays of its kernel (about three of that size) and the weighted sum.
        each = some * 8 * (members + 4) * threads
        size = self._guard.batch_size(each, wanted)
        for row in range(0, max(1, rows), _MAX_BATCH_ROWS):
            for start in range(0, self.config.n_bootstrap, size):
                yield slice(row, row + _MAX_BATCH_ROWS), start, min(start + size, self.config.n_bootstrap)

    def _check_replicas(self, models: Mapping[str, ReplicatedMember]) -> None:
        for name, model in models.items():
            if not isinstance(model, ReplicatedMember):
                raise BootstrapError(
                    f"{name} is a {type(model).__name__} without bootstrap replicas, so it has no sampling interval: "
                    "train the ensemble with bootstrap_samples of 100 or more"
                )
            if model.n_replicas < self.config.n_bootstrap:
                raise BootstrapError(
                    f"{name} has {model.n_replicas} replicas, but n_bootstrap is {self.config.n_bootstrap}: lower "
                    "n_bootstrap, or train with more bootstrap_samples"
                )


def _checked(name: str, predictions: Floats, start: int) -> Floats:
    finite = np.isfinite(predictions).all(axis=1)
    if not finite.all():
        raise BootstrapError(f"replica {start + int(np.argmin(finite))} of {name} returned values that are not finite")
    return predictions
