"""Running one claim: decode, handle, settle, log.

How an attempt ends:

    the handler returns a report             settled: `succeeded`
    it raises anything, MemoryError too      settled: the typed failure; the child lives on
    its report holds a NaN                   settled: `internal`
    the payload is no job of its kind        settled: `invalid_input`, unhandled
    its quotes were too old when claimed     settled: `stale_odds`, unhandled
    it could never fit into memory           settled: `memory_limit_exceeded`, unhandled
    it does not fit into memory now          handed back, at the same attempt, unhandled
    the ledger goes away under it            handed back, at the same attempt
    the claim is no longer ours              left alone
    the child is told to stop (SIGTERM)      handed back, at the same attempt; the child ends
    the handler ends the process             lost: the attempt counts; the child ends
    the process dies                         the guard's business, as are its limits of time and memory
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from ledger import wire
from ledger.book import Claim, Ledger
from ledger.failures import Failure, FailureCode, JobRefused, LedgerUnavailable
from ledger.freshness import fresh_until, stale_odds
from ledger.jobs import Job, PredictCard, kind_of
from ledger.reports import Report
from workers.admission import Admission, NoRoomError
from workers.context import ClaimLostError, JobContext
from workers.failures import failure_of
from workers.figures import figures_of
from workers.handlers import handler_of
from workers.logs import Levels, canonical_line, outcome_of_loss, peak_memory_mb
from workers.models import ModelCache
from workers.pool import Pool
from workers.telemetry import Attempt, Figures

_LONGEST_PAUSE_SECONDS = 1.0

Answer = TypeVar("Answer")


class Terminated(SystemExit):
    """The child was told to stop. Unlike another SystemExit it says nothing against the job at hand."""


@dataclass(frozen=True)
class Ending:
    """How an attempt ended; `leaving` is the exception with which the child is on its way out."""

    outcome: str
    model: str | None = None
    figures: Figures | None = None
    leaving: BaseException | None = None


class Execution:
    """Runs the claims of one child."""

    def __init__(self, pool: Pool, ledger: Ledger, models: ModelCache[Any], admission: Admission) -> None:
        self._pool = pool
        self._ledger = ledger
        self._models = models
        self._admission = admission
        self._log = structlog.get_logger("cornerman")
        self._levels = Levels(pool.settings.log_level)

    def run(self, claim: Claim) -> None:
        """Bring a claim to its end. Raises only SystemExit and KeyboardInterrupt, when the claim is off our hands."""
        started_seconds = time.monotonic()
        self._levels.follow(claim.controls)
        self._pool.board.begin(claim.job_id, claim.fence, allowed_seconds(claim))
        try:
            ending = self._attempt(claim, started_seconds)
        finally:
            self._pool.board.end()
        queue_wait, run_seconds = claim.claimed_at - claim.submitted_at, time.monotonic() - started_seconds
        line = canonical_line(claim, ending.outcome, queue_wait=queue_wait, run_seconds=run_seconds, model=ending.model)
        self._log.info("job", **line, peak_memory_mb=peak_memory_mb())
        self._pool.telemetry.tell(
            Attempt(claim.kind, ending.outcome, claim.attempt, queue_wait.total_seconds(), run_seconds, ending.figures)
        )
        if ending.leaving is not None:
            raise ending.leaving

    def _attempt(self, claim: Claim, started_seconds: float) -> Ending:
        model: str | None = None
        try:
            job = read(claim)
            model = getattr(job, "model", None)
            report = self._handle(job, claim, started_seconds)
            outcome = self._settle(claim, report)
            figures = figures_of(job, report, claim.claimed_at) if outcome == "succeeded" else None
            return Ending(outcome, getattr(report, "model", None) or model, figures)
        except ClaimLostError:
            return Ending("refused", model)
        except (LedgerUnavailable, NoRoomError):
            return self._hand_back(claim)
        except Terminated as leaving:
            return self._hand_back(claim, leaving)
        except (SystemExit, KeyboardInterrupt) as leaving:
            state = insist(lambda: self._ledger.lose(claim.job_id, claim.fence))
            return Ending(outcome_of_loss(state), model, leaving=leaving)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises must become an outcome
            if isinstance(error, MemoryError):
                self._models.clear()  # they may be what fills the child
            return Ending(self._fail(claim, error), model)

    def _handle(self, job: Job, claim: Claim, started_seconds: float) -> Report:
        context = JobContext(claim, self._pool.settings, self._ledger, self._models, started_seconds)
        self._admission.admit(job, context)
        report = handler_of(claim.kind, self._pool.handlers)(job, context)
        if not isinstance(report, Report):
            raise TypeError(f"the handler of {claim.kind} returned {type(report).__name__}, which is no report")
        return report

    def _settle(self, claim: Claim, result: Report | Failure) -> str:
        if not insist(lambda: self._ledger.settle(claim, result)):
            return "refused"
        if isinstance(result, Failure):
            return result.code.value
        if claim.deadline is None or datetime.now(UTC) < claim.deadline:
            return "succeeded"
        return insist(lambda: self._ledger.status(claim.job_id)).state.value  # it may have come too late

    def _fail(self, claim: Claim, error: BaseException) -> str:
        failure = failure_of(error)
        if failure.code is FailureCode.INTERNAL:
            self._log.error("internal error", job_id=claim.job_id, kind=claim.kind, exc_info=error)
        try:
            return self._settle(claim, failure)
        except (TypeError, ValueError):  # it cannot be written; without an outcome the job would run for ever
            self._log.exception("a failure that cannot be written", job_id=claim.job_id)
            said = f"{type(error).__name__}, whose message cannot be written"
            return self._settle(claim, Failure(code=FailureCode.INTERNAL, message=said))

    def _hand_back(self, claim: Claim, leaving: BaseException | None = None) -> Ending:
        released = insist(lambda: self._ledger.release(claim))
        return Ending("released" if released else "refused", leaving=leaving)


def allowed_seconds(claim: Claim) -> float:
    """Return how long a job may run: to its limit, or to its deadline, when its answer is worth nothing any more."""
    if claim.deadline is None:
        return claim.time_limit_seconds
    return min(claim.time_limit_seconds, (claim.deadline - claim.claimed_at).total_seconds())


def read(claim: Claim) -> Job:
    """Return a claim's job.

    Raises JobRefused where its payload is none, or of another kind than the record says; and where its quotes were too
    old by the time of the claim, which is the same for whoever looks later.
    """
    job = wire.decode_job(claim.payload)
    if kind_of(job) != claim.kind:
        raise wire.refuse(f"the record says {claim.kind}, its payload {kind_of(job)}: it did not come through submit")
    until = fresh_until(job)
    if isinstance(job, PredictCard) and until is not None and claim.claimed_at >= until:
        raise JobRefused(stale_odds(job, claim.claimed_at))
    return job


def insist(tell: Callable[[], Answer]) -> Answer:
    """Tell the ledger something until it answers: told twice is told once, and the guard ends what waits too long."""
    pause_seconds = 0.05
    while True:
        try:
            return tell()
        except LedgerUnavailable as unavailable:
            structlog.get_logger("cornerman").warning("ledger unavailable", error=str(unavailable))
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
