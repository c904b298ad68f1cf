"""What one child holds: claims that wait for their turn, and results on their way to the ledger.

Many claims are worked off for one round trip to claim and one to settle, yet each ends by itself:

- A result is written when its job ends, so that one that cannot be written fails alone.
- While the child works on, a thread settles every 20 ms what has gathered; the child does at the end of the batch.
- When one job takes long, the thread gives back those that wait behind it, for other children to take.
- What is finished and unsettled when the child dies is given back by the guard and run again, at the same attempt.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
from msgspec import Struct

from ledger.contracts.failures import FailureCode, LedgerUnavailable, PermissionDenied
from ledger.jobs.claims import Stored
from ledger.ledger import Claim, Ledger, Settlement
from workers.child.batch_size import BATCH_SECONDS
from workers.child.shadow_submission import offer_shadows
from workers.jobs.retry import insist
from workers.logs.job_lines import JobLines, line_of
from workers.pool.event_pipe import Figures, Telemetry, attempt_of
from workers.pool.vital_threads import Stumbles, start_vital

LONG_SECONDS = 0.1
"""How long a job may run until those behind it are given back."""
MOST_BYTES = 2**20  # of results that gather: a step must stay short for the server too


class Finished(Struct, frozen=True):
    """A job that ended with a result. `outcome` is `succeeded` or the failure's code.

    `measure` says what is measured of the answer, once the caller has it.
    """

    claim: Claim
    settlement: Settlement
    outcome: str
    model: str | None
    run_seconds: float
    measure: Callable[[], Figures | None] | None = None


class Batch:
    """The claims of one child, one batch after the other."""

    def __init__(self, ledger: Ledger, lines: JobLines, telemetry: Telemetry) -> None:
        self._ledger = ledger
        self._lines = lines
        self._telemetry = telemetry
        self._waiting: deque[Claim] = deque()
        self._finished: list[Finished] = []
        self._bytes = 0
        self._turn_seconds = 0.0
        # Reentrant: a signal that ends the child may come in the middle of a step, and the last one follows.
        self._one_at_a_time = threading.RLock()
        self._in_company = threading.Event()
        self._untold = Stumbles(structlog.get_logger("cornerman"), "ends of jobs cannot be logged or counted")
        start_vital("batch", self._look_after)

    @contextmanager
    def of(self, claims: Iterable[Claim], ended: Callable[[], None]) -> Iterator[None]:
        """Take claims in; by the end of the block, however it ends, settle the finished and give back the rest.

        `ended` is called when all that was finished is settled.
        """
        self._waiting.extend(claims)
        if len(self._waiting) > 1:
            self._in_company.set()
        try:
            yield
        finally:
            self._in_company.clear()
            try:
                self.settle()
            finally:
                ended()
                self._give_back("the child leaves its batch", ring=False)

    def next(self) -> Claim | None:
        """Return the claim whose turn it is; None when all had theirs, or were given back."""
        self._turn_seconds = time.monotonic()
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def add(self, finished: Finished) -> None:
        """Take in a result."""
        self._finished.append(finished)
        self._bytes += len(finished.settlement.body)
        if self._bytes > MOST_BYTES:
            self.settle()

    def settle(self) -> None:
        """Settle what is finished, and say so in the log. Waits for a ledger that is away."""
        with self._one_at_a_time:
            batch = self._finished[:]
            if not batch:
                return
            accepted = insist(lambda: self._ledger.settle_batch([finished.settlement for finished in batch]))
            outcomes = [_outcome(finished, stored) for finished, stored in zip(batch, accepted, strict=True)]
            del self._finished[: len(batch)]
            self._bytes = 0
            with self._untold.caught():
                self._say(batch, outcomes)
            answered = [job for job, outcome in zip(batch, outcomes, strict=True) if outcome == "succeeded"]
            offer_shadows(self._ledger, [(job.claim, job.settlement) for job in answered])

    def _say(self, batch: Sequence[Finished], outcomes: Sequence[str]) -> None:
        ended = [*zip(batch, outcomes, strict=True)]
        self._lines.write(
            [line_of(job.claim, outcome, run_seconds=job.run_seconds, model=job.model) for job, outcome in ended]
        )
        attempts = []
        for job, outcome in ended:
            figures = job.measure() if job.measure is not None and outcome == "succeeded" else None
            attempts.append(attempt_of(job.claim, outcome, job.run_seconds, figures))
        self._telemetry.tell(*attempts)

    def _give_back(self, reason: str, *, ring: bool) -> None:
        untouched = []
        with suppress(IndexError):
            while True:
                untouched.append(
                    self._waiting.pop()
                )  # from the other end, one by one: the child may be taking its next
        if untouched:
            with suppress(LedgerUnavailable, PermissionDenied):  # the guard gives back what an idle or dead child holds
                self._ledger.release_many(untouched, ring=ring)
                structlog.get_logger("cornerman").info("claims given back", jobs=len(untouched), reason=reason)

    def _look_after(self) -> None:
        # The child meets an error too, at the end of its batch.
        stumbles = Stumbles(structlog.get_logger("cornerman"), "the batch cannot be looked after")
        while True:
            self._in_company.wait()
            time.sleep(BATCH_SECONDS)
            with stumbles.caught():
                self.settle()
                if time.monotonic() - self._turn_seconds > LONG_SECONDS:
                    self._give_back("the job before them takes long", ring=True)


def _outcome(finished: Finished, stored: Stored) -> str:
    if stored is Stored.TOO_LATE:
        return FailureCode.EXPIRED.value
    return finished.outcome if stored is Stored.STANDS else "refused"
