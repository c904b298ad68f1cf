"""Memory admission in a child: memory is reserved before a job is claimed and checked before it starts.

    before a claim     the memory of a typical job; if there is too little, the child claims nothing and the pool stops
                       consuming; a job that came with its doorbell is released if there is too little by then
    before a job runs  its own estimate, if that is larger (`workers.child.memory_needs`):
                       a job that can never fit ends as `memory_limit_exceeded`, with the figures
                       a job that does not fit next to the running ones returns to the queue unrun, and the pool waits
                       for the memory; if other processes hold that memory, the job is snoozed, and smaller jobs go on

No loop spins: a child that finds too little memory becomes idle, and no doorbell is consumed until there is enough.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager

from engine.errors import BundleError
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.jobs import Backtest, DataPlan, Job, JobPart, JudgeModels, PredictCard, TrainingPlan
from workers.child.memory_needs import MemoryEstimate, estimate_card, estimate_part, estimate_training
from workers.errors import JobSnoozedError
from workers.jobs.context import JobContext
from workers.jobs.replay_target import resolve_replay_target
from workers.pool.pool import WorkerPool
from workers.pool.process_memory import anon_rss_mb

_FRESH_SECONDS = 0.005
"""How long a measurement (22 us each) stays valid for the jobs that follow; filling 3 GB takes a second."""


MEMORY_SNOOZE_SECONDS = 5.0
"""Delay before a job looks again for memory that is held outside of this pool."""


class InsufficientMemoryError(Exception):
    """The job fits into memory, but not next to the jobs that run now: it is released."""


class MemoryAdmission:
    """The reservations of one child."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._short_of_memory = False
        self._memory_mb = 0.0
        self._fresh_until_seconds = -math.inf
        # A name that moves to another model is not estimated again.
        self._estimated_names: set[str] = set()

    @property
    def should_stop_claiming(self) -> bool:
        """True if this child must claim nothing more for now."""
        return self._short_of_memory or self._pool.scoreboard.should_stop_claiming

    def memory_before_job_mb(self) -> float:
        """Return the memory of this child before its next job starts."""
        now_seconds = time.monotonic()
        if now_seconds > self._fresh_until_seconds:
            self._measure()
        self._fresh_until_seconds = min(self._fresh_until_seconds, now_seconds + _FRESH_SECONDS)
        return self._memory_mb

    def reserve(self, *, rested: bool = False) -> AbstractContextManager[bool]:
        """Reserve the memory of a typical job for the block; yields False if there is too little.

        With `rested` the child has done nothing since its last reservation ended, so its memory is not measured again.
        """
        return _Reservation(self, rested=rested)

    def _reserve(self, *, rested: bool) -> bool:
        self._short_of_memory = False
        return self._pool.scoreboard.reserve(self._memory_mb if rested else self._measure())

    def _release(self) -> None:
        self._pool.scoreboard.release_reservation(self._measure())

    def admit(self, job: Job, context: JobContext) -> None:
        """Reserve the estimated memory of a job.

        Raises JobRefusedError if the job can never fit; InsufficientMemoryError if it will fit when jobs of this pool
        have ended; JobSnoozedError if other processes hold the memory for an unknown time: the job must not block its
        queue.
        """
        job = resolve_replay_target(job, context)
        ceiling_mb = self._ceiling_mb(job)
        self._pool.scoreboard.set_ceiling(ceiling_mb)
        need = self._estimate(job, context)
        if need is None:
            return
        allowed_mb = ceiling_mb - self._pool.scoreboard.own_slot.baseline_mb
        if need.growth_mb > allowed_mb:
            raise JobRefusedError(_never_fits(need, max(0.0, allowed_mb)))
        if not self._pool.scoreboard.raise_reservation(need.growth_mb):
            room_mb = max(0.0, self._pool.scoreboard.free_mb)
            if not self._pool.scoreboard.job_waits_for_memory:
                raise JobSnoozedError(
                    f"not enough memory for {need.growth_mb:.0f} MB: {room_mb:.0f} MB are free, and the rest is not "
                    "held by other jobs of this pool",
                    MEMORY_SNOOZE_SECONDS,
                )
            self._short_of_memory = True
            raise InsufficientMemoryError(
                f"not enough memory for {need.growth_mb:.0f} MB next to the jobs that run now"
            )
        if isinstance(job, PredictCard):
            self._estimated_names.add(job.model)

    def _measure(self) -> float:
        self._memory_mb = anon_rss_mb()
        self._fresh_until_seconds = math.inf  # a child allocates nothing before its next job starts
        return self._memory_mb

    def _estimate(self, job: Job, context: JobContext) -> MemoryEstimate | None:
        """Return the estimate; None if a typical job's reservation suffices, or if the handler will report an error."""
        try:
            if isinstance(job, JudgeModels) and job.first_day is not None:  # needs about as much as a backtest
                job = Backtest(data=job.data, matrix=job.matrix)
            if isinstance(job, JobPart):
                return estimate_part(job, context.settings, context.claim.controls)
            if isinstance(job, TrainingPlan):
                return estimate_training(job, context.settings, context.claim.controls)
            if isinstance(job, PredictCard) and job.model not in self._estimated_names:
                digest = context.models.resolve(job.model)
                if not context.models.is_open(digest):
                    return estimate_card(job, context.store.fetch(digest), context.claim.controls)
                self._estimated_names.add(job.model)
        except (OSError, ValueError, BundleError):
            return None
        return None

    def _ceiling_mb(self, job: Job) -> float:
        """Return the child's ceiling: the least of its own limit, the job's, and the memory it could have alone."""
        own_mb = self._pool.settings.child_max_memory_mb or math.inf
        job_mb = job.max_memory_mb if isinstance(job, DataPlan | JobPart) else math.inf
        return max(1.0, min(own_mb, job_mb, self._pool.scoreboard.max_child_mb))


class _Reservation:
    """A block with the memory of a typical job; entering a generator takes twice as long."""

    __slots__ = ("_admission", "_granted", "_rested")

    def __init__(self, admission: MemoryAdmission, *, rested: bool) -> None:
        self._admission = admission
        self._rested = rested

    def __enter__(self) -> bool:
        self._granted = self._admission._reserve(rested=self._rested)
        return self._granted

    def __exit__(self, *error: object) -> None:
        if self._granted:
            self._admission._release()


def _never_fits(need: MemoryEstimate, allowed_mb: float) -> Failure:
    fitting = need.largest_fitting(allowed_mb)
    advice = f"{need.unit} of at most {fitting} would fit" if fitting else f"no number of {need.unit} would fit"
    return Failure(
        code=FailureCode.MEMORY_LIMIT_EXCEEDED,
        message=f"{need.what} is estimated to take {need.growth_mb:.0f} MB, and a job here may take "
        f"{allowed_mb:.0f} MB: {advice}; or raise the limit (the job's "
        "max_memory_mb, CORNERMAN_CHILD_MAX_MEMORY_MB, or that of the pool)",
        retryable=True,
        details={
            "estimated_mb": round(need.growth_mb, 1),
            "allowed_mb": round(allowed_mb, 1),
            f"fitting_{need.unit}": fitting,
        },
    )
