"""The refits of one training: the rows, labels and seed of each, and a trainer that runs any batch of them.

Every fight stands in the training rows twice, once from either side, and both rows always share a weight, a fold and a
resample. Folds are blocks of whole events in order of date. Every refit has its own random streams, so its result has
the same bits in any process, in any batch and on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.bootstrap import resample_events, resolve_n_jobs
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix, check_features, event_blocks
from engine.errors import ValidationError
from engine.members.member_fit import MemberParams, TrainingRows, fit_members
from engine.members.member_stack import DEFAULT_WEIGHTS, MemberStacks, stack_members, stack_to_arrays
from engine.members.random_forest import ForestParams
from engine.members.xgboost_fit import TrainingLimits
from engine.model.rating_offset import RatingOffset
from engine.model.trained_ensemble import point_margins
from engine.resources.blas_threads import one_blas_thread
from engine.resources.library_pages import release_library_pages
from engine.resources.memory_guard import trim_malloc, use_single_malloc_arena
from engine.statistics.complements import mirror_averaged_margin
from engine.training.soft_labels import market_logit, soft_labels

_SPREAD_FIGHTS = 1000  # the latest fights are enough for one pooled standard deviation
LOGIT = "logit"


class RefitPurpose(IntEnum):
    """The purpose of a refit; part of its seed, so that no two refits share a random stream."""

    REPLICA = 0
    FIT = 1
    FOLD = 2


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Training settings; the documentation's figures are measured with the defaults.

    Attributes
    ----------
    seed : int
        Seed of all random streams.
    bootstrap_samples : int
        Number of replicas; 0 for none.
    fits : int
        Number of refits whose mean is the point prediction.
    folds : int
        Number of folds for the out-of-fold logits.
    model_weights : mapping of str to float
        Weight of each member.
    members, replica_members : MemberParams
        Hyperparameters of the point fits and of the replicas.
    teaching : float
        Weight of the closing odds in the labels (see `engine.training.soft_labels`).
    max_training_time_s : float
        Time limit in seconds.
    max_memory_mb : float
        Limit for the resident memory of this process, in MiB.
    n_jobs : int
        Threads, -1 for one a core; never changes the result.
    """

    seed: int = 0
    bootstrap_samples: int = 100
    fits: int = 5
    folds: int = 10
    model_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    members: MemberParams = field(default_factory=MemberParams)
    replica_members: MemberParams = field(default_factory=lambda: MemberParams(forest=ForestParams(trees=50)))
    teaching: float = 0.25
    max_training_time_s: float = 3600.0
    max_memory_mb: float = 4096.0
    n_jobs: int = -1


@dataclass(frozen=True, slots=True, order=True)
class RefitBatch:
    """A batch of refits of one purpose: numbers `start` to `stop` - 1."""

    purpose: RefitPurpose
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Unique name among the batches of one training; valid as a file name."""
        return f"{self.purpose.name.lower()}-{self.start}-{self.stop}"

    @classmethod
    def from_name(cls, name: str) -> RefitBatch:
        """Return the batch with this name. Raises ValidationError if the name is not valid."""
        try:
            role, start, stop = name.split("-")
            return cls(RefitPurpose[role.upper()], int(start), int(stop))
        except (KeyError, ValueError) as error:
            raise ValidationError(f"{name!r} is not the name of a batch of refits") from error


def refit_batches(config: TrainingConfig, size: int) -> tuple[RefitBatch, ...]:
    """Split a training into batches of at most `size` refits, the most expensive first."""
    counts = {
        RefitPurpose.FOLD: config.folds,
        RefitPurpose.FIT: config.fits,
        RefitPurpose.REPLICA: config.bootstrap_samples,
    }
    return tuple(
        RefitBatch(role, start, min(start + size, count))
        for role, count in counts.items()
        for start in range(0, count, size)
    )


@dataclass(frozen=True, slots=True)
class _Refit:
    """One refit: its seed, the weight of each fight, and the fights that XGBoost uses for early stopping."""

    stream: np.random.SeedSequence
    weight: NDArray[np.int64]
    stop: NDArray[np.bool_]
    members: MemberParams


class Trainer:
    """Runs batches of refits on one matrix, within limits of time and memory, in any order.

    Raises
    ------
    ValidationError
        If the features cannot be used for training.
    """

    def __init__(self, matrix: TrainingMatrix, config: TrainingConfig) -> None:
        use_single_malloc_arena()
        self._matrix = matrix
        self._config = config
        self.plan = MirrorPlan.from_columns(list(matrix.X.columns))
        self.weights = dict(config.model_weights)
        self.values = check_features(matrix.X)
        self.rows = TrainingRows.from_fights(self.values, self.plan, config.members.xgboost)
        self.offset = self._offset_of(np.ones(len(matrix), dtype=np.int64))
        self._market = market_logit(matrix)
        self._blocks = event_blocks(matrix, config.folds)
        release_library_pages()  # the compiler's: the first loops are loaded

    def run(
        self, batch: RefitBatch, limits: TrainingLimits, n_jobs: int = 1, on_progress: Callable[[], None] = lambda: None
    ) -> dict[str, Array]:
        """Run the refits of a batch on `n_jobs` threads.

        Parameters
        ----------
        batch
            The batch.
        limits
            Limits of time and memory.
        n_jobs
            Threads, -1 for one a core.
        on_progress
            Called after each refit.

        Returns
        -------
        dict of str to array
            FIT: the members, named as `engine.members.member_stack.stack_to_arrays` names them. REPLICA: the same, and
            `logit`, (refits, latest fights), NaN for the fights that the replica was trained on. FOLD: `logit` alone,
            (n,), NaN outside the folds of the batch. Logits are the ensemble's, uncalibrated.

        Raises
        ------
        TrainingError, TrainingTimeoutError, MemoryLimitError
        """
        threads = resolve_n_jobs(n_jobs)
        stacks: list[MemberStacks] = []
        logits: list[Floats] = []
        loaded = False  # the machine code of all loops, after the first refit
        with one_blas_thread():
            for stack, logit in Parallel(n_jobs=threads, prefer="threads", return_as="generator", pre_dispatch=threads)(
                delayed(self._fit)(batch.purpose, index, limits) for index in range(batch.start, batch.stop)
            ):
                if batch.purpose is not RefitPurpose.FOLD:
                    stacks.append(stack)
                if logit is not None:
                    logits.append(logit)
                trim_malloc()
                if not loaded:
                    release_library_pages()
                    loaded = True
                on_progress()
        match batch.purpose:
            case RefitPurpose.FIT:
                return stack_to_arrays(stack_members(stacks))
            case RefitPurpose.REPLICA:
                return {**stack_to_arrays(stack_members(stacks)), LOGIT: np.array(logits)}
            case RefitPurpose.FOLD:
                return {LOGIT: merge_fold_logits(logits)}

    def _fit(self, role: RefitPurpose, index: int, limits: TrainingLimits) -> tuple[MemberStacks, Floats | None]:
        limits.check(f"{role.name.lower()} {index}")
        refit = self._refit(role, index)
        labels = soft_labels(self._matrix.won, self._market, refit.weight, self._config.teaching)
        # Results of a fold that is held out must not move the offset of its forecasts.
        offset = self._offset_of(refit.weight) if role is RefitPurpose.FOLD else self.offset
        labels = offset.residual_labels(labels, self.values)
        stack = fit_members(self.rows, labels, refit.weight, refit.stop, refit.members, refit.stream, limits)
        match role:
            case RefitPurpose.FIT:
                return stack, None
            case RefitPurpose.REPLICA:
                return stack, self._latest_logit(stack, refit.weight)
            case RefitPurpose.FOLD:
                return stack, self._fold_logit(stack, offset, self._blocks == index)

    def _refit(self, role: RefitPurpose, index: int) -> _Refit:
        """Return the refit of a purpose with this number.

        FIT: all fights; XGBoost stops early on one block. FOLD: all blocks but one; XGBoost stops early on the next
        block. REPLICA: resampled events; XGBoost stops early on the events that were not drawn.
        """
        stream = np.random.SeedSequence(self._config.seed, spawn_key=(int(role), index))
        match role:
            case RefitPurpose.FIT:
                stop = self._blocks == index % self._config.folds
                return _Refit(stream, np.ones_like(self._blocks), stop, self._config.members)
            case RefitPurpose.FOLD:
                stop = self._blocks == (index + 1) % self._config.folds
                return _Refit(stream, (self._blocks != index).astype(np.int64), stop, self._config.members)
            case RefitPurpose.REPLICA:
                first = np.random.SeedSequence(self._config.seed, spawn_key=(int(role), index)).spawn(1)[0]
                weight = resample_events(self._matrix.event, first)
                return _Refit(stream, weight, weight == 0, self._config.replica_members)

    def _offset_of(self, weight: NDArray[np.int64]) -> RatingOffset:
        """Return the offset fitted on the fights that a refit uses."""
        used = weight > 0
        return RatingOffset.fit(list(self._matrix.X.columns), self.values[used], self._matrix.won[used])

    def _fold_logit(self, stack: MemberStacks, offset: RatingOffset, fold: NDArray[np.bool_]) -> Floats:
        """Return the ensemble's logit for the fights of a fold, NaN for all others, (n,)."""
        logit = np.full(len(self._matrix), np.nan)
        values = self.values[fold]
        margin, _ = point_margins(stack.by_name(), self.weights, self.plan, values)
        logit[fold] = offset.add_members(offset.rating_logit(values), margin)
        return logit

    def _latest_logit(self, stack: MemberStacks, weight: NDArray[np.int64]) -> Floats:
        """Return the ensemble's logit for the latest fights, NaN for those that the replica was trained on."""
        latest = slice(max(0, len(self._matrix) - _SPREAD_FIGHTS), None)
        both = np.concatenate([self.values[latest], self.plan(self.values[latest])])
        half = len(both) // 2
        total = sum(
            share * stack.by_name()[name].predict_replicas(both, 0, 1)[0]
            for name, share in sorted(self.weights.items())
        )
        rating = self.offset.rating_logit(self.values[latest])
        logit = self.offset.add_members(rating, mirror_averaged_margin(total[:half], total[half:]))
        logit[weight[latest] > 0] = np.nan
        return logit


def merge_fold_logits(logits: list[Floats]) -> Floats:
    """Merge logits, each (n,), of which exactly one is not NaN for each fight."""
    joined = logits[0].copy()
    for logit in logits[1:]:
        known = np.isfinite(logit)
        joined[known] = logit[known]
    return joined
