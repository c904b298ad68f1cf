"""The refits of a training: what each is trained on, and running some of them.

Every fight stands in the training rows twice, once from either side, and both rows always share a weight, a fold and a
resample. Folds are blocks of whole events in order of date. Every refit has streams of its own, so what it gives has
the same bits whoever runs it, with whichever others, on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from engine.arrays import Array, Floats
from engine.bootstrap import resample_events, threads_for
from engine.data.feature_matrix import MirrorPlan, TrainingMatrix, check_features, event_blocks
from engine.errors import ValidationError
from engine.members.member_stack import (
    DEFAULT_WEIGHTS,
    MemberParams,
    MemberStacks,
    TrainingRows,
    arrays_of,
    fit_members,
    stack_members,
)
from engine.members.random_forest import ForestParams
from engine.members.xgboost_fit import TrainingLimits
from engine.model.trained_ensemble import point_margins
from engine.resources.blas_threads import one_blas_thread
from engine.resources.memory_guard import give_back_memory, hold_memory_together
from engine.statistics.complements import logit_of, margin_of
from engine.training.soft_labels import labels_for, market_logit

_SPREAD_FIGHTS = 1000  # the latest fights are enough for one pooled standard deviation
LOGIT = "logit"


class Role(IntEnum):
    """What a refit is for; part of its seed, so that no two refits share a stream."""

    REPLICA = 0
    FIT = 1
    FOLD = 2


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How an ensemble is trained; the defaults are what the documentation measures.

    seed: of everything. bootstrap_samples: replicas, 0 for none. fits: refits whose mean is the answer. folds: for
    the out-of-fold logits. members, replica_members: hyperparameters of the point fits and of the replicas.
    teaching: the share of the closing odds in the labels (see `engine.training.soft_labels`). n_jobs: threads, -1 for
    one a core; never changes the result.
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
class Part:
    """Some of the refits of one role: `start` up to but without `stop`."""

    role: Role
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Its name among the parts of one training, good for a file."""
        return f"{self.role.name.lower()}-{self.start}-{self.stop}"

    @classmethod
    def named(cls, name: str) -> Part:
        """Return the part of a name. Raises ValidationError where it is none."""
        try:
            role, start, stop = name.split("-")
            return cls(Role[role.upper()], int(start), int(stop))
        except (KeyError, ValueError) as error:
            raise ValidationError(f"{name!r} names no part of a training") from error


def parts_of(config: TrainingConfig, size: int) -> tuple[Part, ...]:
    """Cut a training into parts of at most `size` refits, the dearest first."""
    counts = {Role.FOLD: config.folds, Role.FIT: config.fits, Role.REPLICA: config.bootstrap_samples}
    return tuple(
        Part(role, start, min(start + size, count)) for role, count in counts.items() for start in range(0, count, size)
    )


@dataclass(frozen=True, slots=True)
class _Refit:
    """One refit: its seed, how often each fight counts, and the fights on which XGBoost decides when to stop."""

    stream: np.random.SeedSequence
    weight: NDArray[np.int64]
    stop: NDArray[np.bool_]
    members: MemberParams


class Trainer:
    """Runs refits on one matrix, within the limits; the same trainer may run any parts in any order.

    Raises ValidationError for features that cannot be learnt from.
    """

    def __init__(self, matrix: TrainingMatrix, config: TrainingConfig) -> None:
        hold_memory_together()
        self._matrix = matrix
        self._config = config
        self.plan = MirrorPlan.of(list(matrix.X.columns))
        self.weights = dict(config.model_weights)
        self.values = check_features(matrix.X)
        self.rows = TrainingRows.of(self.values, self.plan, config.members.xgboost)
        self._market = market_logit(matrix)
        self._blocks = event_blocks(matrix, config.folds)

    def run(
        self, part: Part, limits: TrainingLimits, n_jobs: int = 1, tell: Callable[[], None] = lambda: None
    ) -> dict[str, Array]:
        """Run the refits of a part on `n_jobs` threads; `tell` is called after each.

        FIT: the members, as `engine.members.member_stack.arrays_of` names them. REPLICA: the same, and `logit`,
        (refits, latest fights), NaN where a fight was drawn. FOLD: `logit` alone, (n,), NaN outside the part's folds.
        Logits are the ensemble's, uncalibrated. Raises TrainingError, TrainingTimeoutError, MemoryLimitError.
        """
        threads = threads_for(n_jobs)
        stacks: list[MemberStacks] = []
        logits: list[Floats] = []
        with one_blas_thread():
            for stack, logit in Parallel(n_jobs=threads, prefer="threads", return_as="generator", pre_dispatch=threads)(
                delayed(self._fit)(part.role, index, limits) for index in range(part.start, part.stop)
            ):
                if part.role is not Role.FOLD:
                    stacks.append(stack)
                if logit is not None:
                    logits.append(logit)
                give_back_memory()
                tell()
        match part.role:
            case Role.FIT:
                return arrays_of(stack_members(stacks))
            case Role.REPLICA:
                return {**arrays_of(stack_members(stacks)), LOGIT: np.array(logits)}
            case Role.FOLD:
                return {LOGIT: join_folds(logits)}

    def _fit(self, role: Role, index: int, limits: TrainingLimits) -> tuple[MemberStacks, Floats | None]:
        limits.check(f"{role.name.lower()} {index}")
        refit = self._refit(role, index)
        labels = labels_for(self._matrix.won, self._market, refit.weight, self._config.teaching)
        stack = fit_members(self.rows, labels, refit.weight, refit.stop, refit.members, refit.stream, limits)
        match role:
            case Role.FIT:
                return stack, None
            case Role.REPLICA:
                return stack, self._latest(stack, refit.weight)
            case Role.FOLD:
                return stack, self._left_out(stack, self._blocks == index)

    def _refit(self, role: Role, index: int) -> _Refit:
        """FIT: all fights, another block left out of XGBoost to stop on. FOLD: without one block, stopping on the next.

        REPLICA: resampled events, stopping on those that were not drawn.
        """
        stream = np.random.SeedSequence(self._config.seed, spawn_key=(int(role), index))
        match role:
            case Role.FIT:
                stop = self._blocks == index % self._config.folds
                return _Refit(stream, np.ones_like(self._blocks), stop, self._config.members)
            case Role.FOLD:
                stop = self._blocks == (index + 1) % self._config.folds
                return _Refit(stream, (self._blocks != index).astype(np.int64), stop, self._config.members)
            case Role.REPLICA:
                first = np.random.SeedSequence(self._config.seed, spawn_key=(int(role), index)).spawn(1)[0]
                weight = resample_events(self._matrix.event, first)
                return _Refit(stream, weight, weight == 0, self._config.replica_members)

    def _left_out(self, stack: MemberStacks, fold: NDArray[np.bool_]) -> Floats:
        """The ensemble's logit for the fights of a fold, NaN for all others, (n,)."""
        logit = np.full(len(self._matrix), np.nan)
        margin, _ = point_margins(stack.by_name(), self.weights, self.plan, self.values[fold])
        logit[fold] = logit_of(margin)
        return logit

    def _latest(self, stack: MemberStacks, weight: NDArray[np.int64]) -> Floats:
        """The ensemble's logit for the latest fights, NaN for those that the replica has seen."""
        latest = slice(max(0, len(self._matrix) - _SPREAD_FIGHTS), None)
        both = np.concatenate([self.values[latest], self.plan(self.values[latest])])
        half = len(both) // 2
        total = sum(
            share * stack.by_name()[name].predict_replicas(both, 0, 1)[0]
            for name, share in sorted(self.weights.items())
        )
        logit = np.asarray(logit_of(margin_of(total[:half], total[half:])))
        logit[weight[latest] > 0] = np.nan
        return logit


def join_folds(logits: list[Floats]) -> Floats:
    """Join logits, each (n,) and known where the others are NaN."""
    joined = logits[0].copy()
    for logit in logits[1:]:
        known = np.isfinite(logit)
        joined[known] = logit[known]
    return joined
