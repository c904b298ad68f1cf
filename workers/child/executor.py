"""The executor of a child: runs claims one after the other; each is decoded, handled and settled.

How an attempt ends:

    the handler returns a report             settled: `succeeded`
    it raises anything, MemoryError too      settled: the typed failure; the child survives
    MemoryError in a child that holds        lost: the attempt counts; the child ends
      memory of earlier jobs
    its report contains a NaN                settled: `internal`
    the payload is no job of its kind        settled: `invalid_input`, not run
    its quotes were too old when claimed     settled: `stale_odds`, not run
    it can never fit into memory             settled: `memory_limit_exceeded`, not run
    it does not fit into memory now          released, at the same attempt, not run
    the ledger becomes unavailable           released, at the same attempt
    the server's ACL refuses what it needs   settled: `internal`, retryable; it would be refused for ever
    it waits for its parts, or for the store snoozed, at the same attempt
    the claim is no longer this child's      left alone
    the child is told to stop (SIGTERM)      released, at the same attempt; the child ends; also if the handler
                                             fails because of the signal
    the handler ends the process             lost: the attempt counts; the child ends
    the process dies                         the supervisor acts, as for the limits of time and memory

Results are settled together (`workers.child.batch`); each claim ends independently of its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from ledger.contracts.failures import Failure, FailureCode, LedgerUnavailable, PermissionDenied
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import Job
from ledger.contracts.provenance import Origin
from ledger.contracts.reports import Report
from ledger.ledger import Claim, Ledger, Settlement
from workers.child.batch import Batch, Finished
from workers.child.card_metrics import figures_of
from workers.child.memory_admission import Admission, NoRoomError
from workers.errors import LaterError, StoreUnavailableError
from workers.failures import failure_of
from workers.jobs.context import ClaimLostError, JobContext
from workers.jobs.decoding import read
from workers.jobs.provenance import origin_of
from workers.jobs.registry import Noted, handler_of
from workers.jobs.retry import insist
from workers.logs.job_lines import JobLines, line_of
from workers.logs.setup import Levels, outcome_of_loss, speaking_of, where_raised
from workers.models.model_cache import ModelCache
from workers.pool.event_pipe import Figures, attempt_of
from workers.pool.memory_attribution import fair
from workers.pool.pool import Pool

_SHUTDOWN = "the child was told to stop"


class Terminated(SystemExit):
    """The child was told to stop; unlike any other SystemExit, no fault of the current job.

    C code that calls back into Python swallows an exception that a signal handler raises there, and fails with an error
    of its own: `raised` records that the signal came.
    """

    told = False


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, with or without a result to settle.

    `reason` is the reason for a release; `leaving` is the exception that ends the child.
    """

    outcome: str
    model: str | None = None
    reason: str | None = None
    measure: Callable[[], Figures | None] | None = None
    settlement: Settlement | None = None
    leaving: BaseException | None = None


class Execution:
    """The executor of one child."""

    def __init__(self, pool: Pool, ledger: Ledger, models: ModelCache[Any], admission: Admission) -> None:
        self._pool = pool
        self._ledger = ledger
        self._models = models
        self._admission = admission
        self._log = structlog.get_logger("cornerman")
        self._levels = Levels(pool.settings.log_level)
        self._lines = JobLines()
        self._batch = Batch(ledger, self._lines, pool.telemetry)

    def work_off(self, claims: Sequence[Claim]) -> None:
        """Run claims, or release the rest when the child must stop claiming.

        Raises only SystemExit and KeyboardInterrupt, after the claims are settled or released.
        """
        # The child holds a job until its outcome is settled.
        with self._batch.of(claims, ended=self._pool.board.end):
            while not self._admission.yielding and (claim := self._batch.next()) is not None:
                self._run(claim)

    def _run(self, claim: Claim) -> None:
        started_seconds = time.monotonic()
        self._levels.follow(claim.controls)
        standing_mb = self._admission.standing_mb()
        self._pool.board.begin(claim.job_id, claim.fence, allowed_seconds(claim), job_start_mb=standing_mb)
        with speaking_of(claim), self._models.during(claim.names):
            ending = self._attempt(claim, started_seconds)
        run_seconds = time.monotonic() - started_seconds
        if ending.settlement is None:
            line = line_of(claim, ending.outcome, run_seconds=run_seconds, model=ending.model, reason=ending.reason)
            self._lines.write([line])
            self._pool.telemetry.tell(attempt_of(claim, ending.outcome, run_seconds, None))
        else:
            finished = Finished(claim, ending.settlement, ending.outcome, ending.model, run_seconds, ending.measure)
            self._batch.add(finished)
        if ending.leaving is not None:
            raise ending.leaving

    def _attempt(self, claim: Claim, started_seconds: float) -> Ending:
        model: str | None = None
        try:
            try:
                job = read(claim)
                model = getattr(job, "model", None)
                report, page = self._handle(job, claim, started_seconds)
            finally:
                self._pool.board.handled()
            settlement = Settlement.of(claim, report, page, self._origin(claim))
            measure = partial(figures_of, job, report, claim.claimed_at)
            said = getattr(report, "model", None) or model
            return Ending("succeeded", said, measure=measure, settlement=settlement)
        except ClaimLostError:
            return Ending("refused", model)
        except (LedgerUnavailable, NoRoomError) as away:
            return self._release(claim, str(away))
        except LaterError as later:
            return self._snooze(claim, later, model)
        except Terminated as leaving:
            return self._release(claim, _SHUTDOWN, leaving)
        except (SystemExit, KeyboardInterrupt) as leaving:
            return self._report_lost(claim, model, leaving)
        except BaseException as error:  # noqa: BLE001 - any error of a handler must become an outcome
            if Terminated.told:
                return self._release(claim, _SHUTDOWN, Terminated(0))
            if isinstance(error, MemoryError):
                self._models.clear()  # open models may be what fills the child
                if not fair(self._pool.board.own) and claim.attempt < self._ledger.settings.max_attempts:
                    self._log.warning("child exits", reason="it holds memory that its jobs need")
                    return self._report_lost(claim, model, SystemExit(1))
            return self._failed(claim, error, model)

    def _handle(self, job: Job, claim: Claim, started_seconds: float) -> Noted:
        context = JobContext(claim, self._pool.settings, self._ledger, self._models, started_seconds)
        self._admission.admit(job, context)
        answer = handler_of(claim.kind, self._pool.handlers)(job, context)
        noted = answer if isinstance(answer, Noted) else Noted(answer, None)
        if not isinstance(noted.report, Report):
            raise TypeError(f"the handler of {claim.kind} returned {type(answer).__name__}, not a report")
        return noted

    def _failed(self, claim: Claim, error: BaseException, model: str | None) -> Ending:
        failure = failure_of(error)
        if isinstance(error, PermissionDenied):
            self._log.error("ledger permission denied", kind=claim.kind, error=str(error))
        elif failure.code is FailureCode.INTERNAL:
            self._log.error("internal error", kind=claim.kind, **where_raised(error))
        try:
            settlement = Settlement.of(claim, failure, origin=self._origin(claim))
        except (TypeError, ValueError):  # without an outcome the job would run for ever
            self._log.error("failure not encodable", **where_raised(error))
            said = f"{type(error).__name__}, whose message is not encodable"
            failure = Failure(code=FailureCode.INTERNAL, message=said)
            settlement = Settlement.of(claim, failure)
        return Ending(failure.code.value, model, settlement=settlement)

    def _origin(self, claim: Claim) -> Origin:
        return origin_of(claim, self._models.looked_up)

    def _report_lost(self, claim: Claim, model: str | None, leaving: BaseException) -> Ending:
        state = insist(lambda: self._ledger.report_worker_lost(claim.job_id, claim.fence))
        return Ending(outcome_of_loss(state), model, leaving=leaving)

    def _snooze(self, claim: Claim, later: LaterError, model: str | None) -> Ending:
        if isinstance(later, StoreUnavailableError):
            self._log.warning("store unavailable", error=str(later))
        note = claim.note if later.note is None else later.note
        progress = later.progress or Progress(stage=f"waiting: {later}"[:500], done=0, total=0)
        parked = insist(lambda: self._ledger.snooze(claim, later.due_seconds, note, progress))
        return Ending("parked" if parked else "refused", model, str(later))

    def _release(self, claim: Claim, reason: str, leaving: BaseException | None = None) -> Ending:
        released = insist(lambda: self._ledger.release(claim))
        return Ending("released" if released else "refused", reason=reason, leaving=leaving)


def allowed_seconds(claim: Claim) -> float:
    """Return how long a job may run: to its time limit, or to its deadline, after which its answer is useless."""
    if claim.deadline is None:
        return claim.time_limit_seconds
    return min(claim.time_limit_seconds, (claim.deadline - claim.claimed_at).total_seconds())
