"""Memory before work, as a child sees it: what is booked on the board before a job is claimed and before it starts.

    before a claim     the price of a usual job; without room nothing is claimed, and the pool stops listening;
                       a job that was claimed as its doorbell rang is given back if there is no room by then
    before a job runs  its own estimate, where that is more (`workers.child.memory_needs`):
                       what could never fit ends as `memory_limit_exceeded`, with the figures
                       what does not fit beside what runs goes back to the queue untried, and the pool waits for
                       the room; if not the pool's own jobs hold that, it is parked, and smaller jobs go on

Nothing spins: a child that finds no room goes idle, and the next doorbell is only heard when there is some.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import BundleError
from ledger.contracts.failures import Failure, FailureCode, JobRefused
from ledger.contracts.jobs import Backtest, DataPlan, Job, JudgeModels, Part, PredictCard, TrainingPlan
from workers.child.memory_needs import Need, answer_need, part_need, training_need
from workers.errors import LaterError
from workers.jobs.context import JobContext
from workers.jobs.replay_target import subject_of
from workers.pool.pool import Pool
from workers.pool.process_memory import own_mb

_FRESH_SECONDS = 0.005
"""So long a measurement holds, each of which costs 22 us, for the jobs that follow: 3 GB are filled in a second."""


NO_ROOM_SECONDS = 5.0
"""How often a job looks for room that the jobs of this pool do not hold."""


class NoRoomError(Exception):
    """The job fits, but not beside what runs now: give it back."""


class Admission:
    """One child's bookings."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turned_away = False
        self._standing_mb = 0.0
        self._fresh_until_seconds = -math.inf
        self._answered_with: set[str] = set()  # names; one that moves on to another model is not reckoned anew

    @property
    def yielding(self) -> bool:
        """Whether this child is to claim nothing more for now."""
        return self._turned_away or self._pool.board.yielding

    def standing_mb(self) -> float:
        """Return what this child has of its own before its next job begins."""
        now_seconds = time.monotonic()
        if now_seconds > self._fresh_until_seconds:
            self._measure()
        self._fresh_until_seconds = min(self._fresh_until_seconds, now_seconds + _FRESH_SECONDS)
        return self._standing_mb

    @contextmanager
    def booked(self, *, rested: bool = False) -> Iterator[bool]:
        """Book the price of a job for as long as the context lasts; it is False for want of room.

        `rested`: the child has done nothing since its last booking ended, and has what it had then.
        """
        self._turned_away = False
        granted = self._pool.board.book(self._standing_mb if rested else self._measure())
        try:
            yield granted
        finally:
            if granted:
                self._pool.board.unbook(self._measure())

    def admit(self, job: Job, context: JobContext) -> None:
        """Book what a job is estimated to take.

        Raises JobRefused where it can never fit; NoRoomError where it will when jobs of this pool have ended;
        LaterError where others hold the room, nobody knows for how long: it must not hold up its queue.
        """
        job = subject_of(job, context)
        ceiling_mb = self._ceiling_mb(job)
        self._pool.board.lower_ceiling(ceiling_mb)
        need = self._need(job, context)
        if need is None:
            return
        allowed_mb = ceiling_mb - self._pool.board.own.born_mb
        if need.growth_mb > allowed_mb:
            raise JobRefused(_never(need, max(0.0, allowed_mb)))
        if not self._pool.board.book_up_to(need.growth_mb):
            room_mb = max(0.0, self._pool.board.room_mb)
            if not self._pool.board.holds_off:
                raise LaterError(
                    f"no room for {need.growth_mb:.0f} MB: {room_mb:.0f} MB are free, and the other jobs of this pool "
                    "do not hold the rest",
                    NO_ROOM_SECONDS,
                )
            self._turned_away = True
            raise NoRoomError(f"no room for {need.growth_mb:.0f} MB beside what runs now")
        if isinstance(job, PredictCard):
            self._answered_with.add(job.model)

    def _measure(self) -> float:
        self._standing_mb = own_mb()
        self._fresh_until_seconds = math.inf  # until its next job begins, a child fills nothing
        return self._standing_mb

    def _need(self, job: Job, context: JobContext) -> Need | None:
        """What the job needs; None where that is booked anyway, or where its handler will say what is wrong."""
        try:
            if isinstance(job, JudgeModels) and job.first_day is not None:  # with about the settings of a backtest
                job = Backtest(data=job.data, matrix=job.matrix)
            if isinstance(job, Part):
                return part_need(job, context.settings, context.claim.controls)
            if isinstance(job, TrainingPlan):
                return training_need(job, context.settings, context.claim.controls)
            if isinstance(job, PredictCard) and job.model not in self._answered_with:
                digest = context.models.resolve(job.model)
                if not context.models.holds(digest):
                    return answer_need(job, context.store.fetch(digest), context.claim.controls)
                self._answered_with.add(job.model)
        except (OSError, ValueError, BundleError):
            return None
        return None

    def _ceiling_mb(self, job: Job) -> float:
        """The most that the child may have: its own limit, the job's, and what it could have alone."""
        own_mb = self._pool.settings.memory_limit_mb or math.inf
        job_mb = job.max_memory_mb if isinstance(job, DataPlan | Part) else math.inf
        return max(1.0, min(own_mb, job_mb, self._pool.board.most_mb))


def _never(need: Need, allowed_mb: float) -> Failure:
    fitting = need.largest(allowed_mb)
    advice = f"{need.unit} of at most {fitting} would fit" if fitting else f"no number of {need.unit} would fit"
    return Failure(
        code=FailureCode.MEMORY_LIMIT_EXCEEDED,
        message=f"{need.what} is estimated to take {need.growth_mb:.0f} MB, and a job here may take "
        f"{allowed_mb:.0f} MB: {advice}; or raise the limit (the job's "
        "max_memory_mb, CORNERMAN_MEMORY_LIMIT_MB, or that of the pool)",
        retryable=True,
        details={
            "estimated_mb": round(need.growth_mb, 1),
            "allowed_mb": round(allowed_mb, 1),
            f"fitting_{need.unit}": fitting,
        },
    )
