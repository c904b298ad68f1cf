"""The callers of a chaos run: one that submits and cancels, one that follows the outcomes.

Neither gives up while the server is away: a submission without an answer is made again, and the follower goes on after
the last place that it has seen. That is all that the delivery promise asks of a caller.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from ledger.contracts.failures import FailureCode, JobRefusedError, LedgerError, LedgerUnavailableError
from ledger.contracts.job_state import JobState, Outcome
from ledger.ledger import Ledger
from tests.chaos.checker import Cancel
from tests.chaos.jobs import Behaviour, Task, make_task, make_training

AGAIN_SECONDS = 0.1
PATIENCE_SECONDS = 150.0
BURST_MOST = 100
DURABLE_SHARE = 0.1
TWICE_SHARE = 0.1
CANCEL_SHARE = 0.3  # of the bursts: one job of each
HURRY_SECONDS = 2.0
WAIT_SECONDS = 3.0  # at most until the time before which a job may not begin
WAITING_SHARE = 0.3  # of the bursts: jobs that wait for a time, jobs that wait for one of the burst, and cards
WAITING_MOST = 5  # of each
OLDER_SHARE = 0.2  # of the cards: their prices are older than those of the card before
URGENT_SECONDS = 86_400.0

Answer = TypeVar("Answer")


def insist(call: Callable[[], Answer]) -> Answer:
    """Call until the server answers. Raises what it was told at last where trying again does not help."""
    until_seconds = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call()
        except LedgerError as error:
            final = isinstance(error, JobRefusedError) and not error.failure.retryable
            if final or time.monotonic() > until_seconds:
                raise
            time.sleep(AGAIN_SECONDS)


class Submitter:
    """Submits the mix of jobs in bursts, and urgent ones on demand."""

    def __init__(self, ledger: Ledger, seed: int, jobs: int, jobs_per_second: float) -> None:
        self.accepted: dict[str, Task] = {}
        self.cancels: dict[str, Cancel] = {}
        self.refused = 0
        self._ledger = ledger
        self._seed = seed
        self._rng = random.Random(f"{seed}/mix")
        self._jobs = jobs
        self._jobs_per_second = jobs_per_second
        self._due_seconds = time.monotonic()
        self._due_changed = threading.Condition()
        self._urgent_numbers = itertools.count(jobs)
        self._urgent = ThreadPoolExecutor(thread_name_prefix="urgent")

    def feed(self, over: threading.Event) -> None:
        """Submit the mix at its pace, some of it twice, and cancel a job now and then."""
        number = 0
        while number < self._jobs and not over.is_set():
            burst = min(self._rng.randint(1, BURST_MOST), self._jobs - number)
            tasks = [self._hurried(make_task(self._seed, number + place, self._rng)) for place in range(burst)]
            for _ in range(1 + (self._rng.random() < TWICE_SHARE)):
                self._submit(tasks, durable=self._rng.random() < DURABLE_SHARE)
            if self._rng.random() < CANCEL_SHARE:
                self.cancel(self._rng.choice(tasks).job_id)
            for make in (self._timed, self._following, self._card):
                if self._rng.random() < WAITING_SHARE:
                    for _ in range(self._rng.randint(1, WAITING_MOST)):
                        self._submit_waiting(make(self._rng.choice(tasks)))
            number += burst
            with self._due_changed:
                self._due_seconds += burst / self._jobs_per_second
                while (early_seconds := self._due_seconds - time.monotonic()) > 0:
                    self._due_changed.wait(early_seconds)

    def rush(self, jobs: int) -> None:
        """Let so many jobs of the mix come now that were not due yet."""
        with self._due_changed:
            self._due_seconds -= jobs / self._jobs_per_second
            self._due_changed.notify()

    def ask(self, behaviour: Behaviour) -> tuple[str, Future[None]]:
        """Have a job submitted that comes before the others; return its id at once, and when it will be accepted."""
        task = make_task(self._seed, next(self._urgent_numbers), random.Random(0), behaviour)
        task = _with_deadline(task, URGENT_SECONDS)
        return task.job_id, self._urgent.submit(self._submit, [task], durable=False)

    def train(self, seed: int, part_refits: Sequence[int], league: Path) -> list[str]:
        """Submit trainings that must come to the same model, cut into parts of these sizes; return their ids."""
        tasks = [make_training(seed, next(self._urgent_numbers), league, refits) for refits in part_refits]
        self._submit(tasks, durable=False)
        return [task.job_id for task in tasks]

    def _hurried(self, task: Task) -> Task:
        if task.behaviour is Behaviour.HURRY:
            return _with_deadline(task, self._rng.uniform(0, HURRY_SECONDS))
        return task

    def _timed(self, _: Task) -> Task:
        begin = datetime.now(UTC) + timedelta(seconds=self._rng.uniform(0, WAIT_SECONDS))
        return msgspec.structs.replace(self._more(), not_before=begin)

    def _following(self, before: Task) -> Task:
        """Return a job that waits for another, and every second time for a time as well."""
        timed = self._timed(before)
        return msgspec.structs.replace(
            timed, after=before.job_id, not_before=timed.not_before if timed.number % 2 else None
        )

    def _card(self, _: Task) -> Task:
        older = self._rng.random() < OLDER_SHARE
        priced_at = datetime.now(UTC) - timedelta(seconds=self._rng.uniform(60, 120) if older else 0)
        return msgspec.structs.replace(self._more(), behaviour=Behaviour.CARD, priced_at=priced_at)

    def _more(self) -> Task:
        """Return a job besides the mix."""
        return make_task(self._seed, next(self._urgent_numbers), self._rng, Behaviour.ANSWER)

    def _submit_waiting(self, task: Task) -> None:
        """Submit a job that waits or supersedes; what it follows may have failed, and a newer card may be known."""
        try:
            insist(
                lambda: self._ledger.submit(
                    task.job(),
                    key=task.job_id,
                    not_before=task.not_before,
                    after=task.after,
                    supersede=task.behaviour is Behaviour.CARD,
                )
            )
        except JobRefusedError as refused:
            if refused.failure.code not in (FailureCode.PREDECESSOR_FAILED, FailureCode.SUPERSEDED):
                raise
            self.refused += 1
        else:
            self.accepted[task.job_id] = task
            if self._rng.random() < TWICE_SHARE:
                self.cancel(task.job_id)

    def _submit(self, tasks: list[Task], *, durable: bool) -> None:
        jobs, keys = [task.job() for task in tasks], [task.job_id for task in tasks]
        try:
            insist(lambda: self._ledger.submit_many(jobs, keys=keys, durable=durable))
        except JobRefusedError as refused:  # a deadline passed before the server could answer: then nothing was written
            if refused.failure.code is not FailureCode.EXPIRED:
                raise
            patient = [task for task in tasks if task.behaviour is not Behaviour.HURRY]
            self.refused += len(tasks) - len(patient)
            self._submit(patient, durable=durable)
        else:
            self.accepted.update((task.job_id, task) for task in tasks)

    def cancel(self, job_id: str) -> None:
        """Cancel a job, if it was accepted."""
        if job_id in self.accepted:
            status = insist(lambda: self._ledger.cancel(job_id))
            self.cancels[job_id] = Cancel.CONFIRMED if status.state is JobState.CANCELLED else Cancel.ASKED


class Follower:
    """Reads every outcome as it comes; `seen_seconds` tells when, on the monotonic clock."""

    def __init__(self, ledger: Ledger) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.seen_seconds: dict[str, float] = {}
        self._ledger = ledger
        self._place = "0"

    def follow(self, over: threading.Event) -> None:
        """Follow until told that it is over."""
        while not over.is_set():
            try:
                for place, outcome in self._ledger.follow(self._place, idle_seconds=AGAIN_SECONDS):
                    self._place = place
                    self.outcomes.setdefault(outcome.job_id, outcome)
                    self.seen_seconds.setdefault(outcome.job_id, time.monotonic())
            except LedgerUnavailableError:
                time.sleep(AGAIN_SECONDS)


def _with_deadline(task: Task, after_seconds: float) -> Task:
    """Set a deadline in whole milliseconds, as the ledger keeps it."""
    moment = datetime.now(UTC) + timedelta(milliseconds=round(after_seconds * 1000))
    return msgspec.structs.replace(task, deadline=moment.replace(microsecond=moment.microsecond // 1000 * 1000))
