"""The claims of one child: those that wait for their turn, and results on their way to the ledger.

A batch costs one round trip to claim and one to settle, yet each job ends by itself:

- A result is encoded when its job ends, so that one that cannot be encoded fails alone.
- While the child works on, a thread settles the finished jobs every 20 ms; the child settles the rest at the end.
- When one job takes long, the thread releases the claims that wait behind it, for other children to take.
- A finished but unsettled job of a child that dies is released by the supervisor and run again, at the same attempt.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog
from msgspec import Struct

from ledger.contracts.failures import FailureCode, LedgerUnavailableError, PermissionDeniedError
from ledger.jobs.claims import SettleResult
from ledger.ledger import Claim, Ledger, Settlement
from workers.child.batch_size import BATCH_SECONDS
from workers.child.shadow_submission import submit_shadows
from workers.jobs.retry import retry_until_available
from workers.logs.job_lines import JobLineWriter, job_line
from workers.pool.event_pipe import AttemptEnded, CardMetrics, EventPipe, attempt_ended, attempt_finished, together
from workers.pool.vital_threads import LoopErrors, start_critical_thread
from workers.tracing.events import AttemptFinished

LONG_JOB_SECONDS = 0.1
"""How long a job may run before the claims behind it are released."""
MAX_UNSETTLED_BYTES = 2**20  # of unsettled results: one call must stay short for the server too


class CompletedJob(Struct, frozen=True):
    """A job that ended with a result.

    `outcome` is `succeeded` or the failure's code. `measure` computes the metrics of the answer, after the answer is
    settled.
    """

    claim: Claim
    settlement: Settlement
    outcome: str
    model: str | None
    run_seconds: float
    measure: Callable[[], CardMetrics | None] | None = None


class Batch:
    """The claims of one child, one batch after the other."""

    def __init__(self, ledger: Ledger, lines: JobLineWriter, telemetry: EventPipe) -> None:
        self._ledger = ledger
        self._lines = lines
        self._telemetry = telemetry
        self._waiting: deque[Claim] = deque()
        self._finished: list[CompletedJob] = []
        self._bytes = 0
        self._job_started_seconds = 0.0
        # Reentrant: a signal that ends the child may interrupt a settlement, and the last one follows.
        self._settle_lock = threading.RLock()
        self._several = threading.Event()
        self._log_errors = LoopErrors(structlog.get_logger("cornerman"), "ended jobs not logged or counted")
        start_critical_thread("batch", self._maintain)

    @contextmanager
    def process(self, claims: Iterable[Claim], ended: Callable[[], None]) -> Iterator[None]:
        """Add claims; when the block ends, even by an error, settle the finished jobs and release the rest.

        `ended` is called when all finished jobs are settled.
        """
        self._waiting.extend(claims)
        if len(self._waiting) > 1:
            self._several.set()
        try:
            yield
        finally:
            self._several.clear()
            try:
                self.settle()
            finally:
                ended()
                self._release_waiting("the child ends its batch", ring=False)

    def next_claim(self) -> Claim | None:
        """Return the next claim; None if none is left, or the rest was released."""
        self._job_started_seconds = time.monotonic()
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def add(self, finished: CompletedJob) -> None:
        """Add a finished job."""
        self._finished.append(finished)
        self._bytes += len(finished.settlement.body)
        if self._bytes > MAX_UNSETTLED_BYTES:
            self.settle()

    def settle(self) -> None:
        """Settle the finished jobs, and log and count them. Waits for a ledger that is unavailable."""
        with self._settle_lock:
            batch = self._finished[:]
            if not batch:
                return
            began_seconds = time.monotonic()
            accepted = retry_until_available(
                lambda: self._ledger.settle_batch([finished.settlement for finished in batch])
            )
            outcomes = [_outcome(finished, stored) for finished, stored in zip(batch, accepted, strict=True)]
            del self._finished[: len(batch)]
            self._bytes = 0
            with self._log_errors.caught():
                self._log_and_count(batch, outcomes, began_seconds)
            answered = [job for job, outcome in zip(batch, outcomes, strict=True) if outcome == "succeeded"]
            submit_shadows(self._ledger, [(job.claim, job.settlement) for job in answered])

    def _log_and_count(self, batch: Sequence[CompletedJob], outcomes: Sequence[str], began_seconds: float) -> None:
        settled = (began_seconds, len(batch))
        ended = [*zip(batch, outcomes, strict=True)]
        self._lines.write(
            [job_line(job.claim, outcome, run_seconds=job.run_seconds, model=job.model) for job, outcome in ended]
        )
        attempts: list[AttemptEnded] = []
        spans: list[AttemptFinished] = []
        for job, outcome in ended:
            spans += attempt_finished(job.claim, outcome, model=job.model, settled=settled)
            figures = job.measure() if job.measure is not None and outcome == "succeeded" else None
            attempts.append(attempt_ended(job.claim, outcome, job.run_seconds, figures))
        self._telemetry.send(*spans, *together(attempts))

    def _release_waiting(self, reason: str, *, ring: bool) -> None:
        untouched = []
        with suppress(IndexError):
            while True:  # from the other end, one by one: the child may be taking its next
                untouched.append(self._waiting.pop())
        if untouched:
            # On an error the supervisor releases what an idle or dead child holds.
            with suppress(LedgerUnavailableError, PermissionDeniedError):
                self._ledger.release_many(untouched, ring=ring, reason=reason)
                for claim in untouched:
                    self._telemetry.send(*attempt_finished(claim, "released", reason=reason))
                structlog.get_logger("cornerman").info("claims released", jobs=len(untouched), reason=reason)

    def _maintain(self) -> None:
        # The child raises the same error at the end of its batch.
        errors = LoopErrors(structlog.get_logger("cornerman"), "batch maintenance failed")
        while True:
            self._several.wait()
            time.sleep(BATCH_SECONDS)
            with errors.caught():
                self.settle()
                if time.monotonic() - self._job_started_seconds > LONG_JOB_SECONDS:
                    self._release_waiting("the job before them takes long", ring=True)


def _outcome(finished: CompletedJob, stored: SettleResult) -> str:
    if stored is SettleResult.TOO_LATE:
        return FailureCode.EXPIRED.value
    return finished.outcome if stored is SettleResult.ACCEPTED else "refused"
