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
    its handler cannot be imported            released, at the same attempt, not run; the pool ends
    the child must stop (SIGTERM)             released, at the same attempt; the child ends; also if the handler
                                             fails because of the signal
    the handler ends the process             lost: the attempt counts; the child ends
    the process dies                         the supervisor acts, as for the limits of time and memory

Results are settled together (`workers.child.batch`); each claim ends independently of its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog

from ledger.contracts.failures import Failure, FailureCode, LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import Job, PredictCard
from ledger.contracts.provenance import Provenance
from ledger.contracts.reports import Report
from ledger.ledger import Claim, Ledger, Settlement
from workers.child.batch import Batch, CompletedJob
from workers.child.card_metrics import measure_card
from workers.child.memory_admission import InsufficientMemoryError, MemoryAdmission
from workers.errors import JobSnoozedError, StoreUnavailableError
from workers.failures import to_failure
from workers.jobs.context import ClaimLostError, JobContext
from workers.jobs.decoding import decode_claim
from workers.jobs.provenance import collect_provenance
from workers.jobs.registry import HandlerResult, find_handler, import_handler, is_imported
from workers.jobs.retry import retry_until_available
from workers.logs.job_lines import JobLineWriter, job_line
from workers.logs.setup import LogLevels, job_log_context, loss_outcome, traceback_locations
from workers.models.model_cache import ModelCache
from workers.pool.event_pipe import CardMetrics, attempt_ended, attempt_finished
from workers.pool.library_threads import pin_libraries
from workers.pool.memory_attribution import started_near_baseline
from workers.pool.pool import WorkerPool
from workers.pool.process_memory import anon_rss_mb

_SHUTDOWN = "the child must stop"


class ShutdownRequested(SystemExit):
    """The child must stop; unlike any other SystemExit, no fault of the current job.

    C code that calls back into Python swallows an exception that a signal handler raises there, and fails with an error
    of its own: `raised` records that the signal came.
    """

    raised = False


class HandlerImportError(Exception):
    """The handler of a claim cannot be imported: the installation of this pool is damaged."""


class AttemptResult(msgspec.Struct, frozen=True):
    """How an attempt ended, with or without a result to settle.

    `reason` is the reason for a release; `leaving` is the exception that ends the child.
    """

    outcome: str
    model: str | None = None
    reason: str | None = None
    measure: Callable[[], CardMetrics | None] | None = None
    settlement: Settlement | None = None
    leaving: BaseException | None = None


class Executor:
    """The executor of one child."""

    def __init__(self, pool: WorkerPool, ledger: Ledger, models: ModelCache[Any], admission: MemoryAdmission) -> None:
        self._pool = pool
        self._ledger = ledger
        self._models = models
        self._admission = admission
        self._log = structlog.get_logger("cornerman")
        self._levels = LogLevels(pool.settings.log_level)
        self._lines = JobLineWriter()
        self._batch = Batch(ledger, self._lines, pool.event_pipe)

    def run(self, claims: Sequence[Claim]) -> None:
        """Run claims, or release the rest when the child must stop claiming.

        Raises only SystemExit and KeyboardInterrupt, after the claims are settled or released.
        """
        # The child holds a job until its outcome is settled.
        with self._batch.process(claims, ended=self._pool.scoreboard.end_job):
            while not self._admission.should_stop_claiming and (claim := self._batch.next_claim()) is not None:
                self._run(claim)

    def _run(self, claim: Claim) -> None:
        started_seconds = time.monotonic()
        self._levels.apply(claim.controls)
        job_start_mb = self._admission.memory_before_job_mb()
        self._pool.scoreboard.start_job(claim.job_id, claim.fence, max_run_seconds(claim), job_start_mb=job_start_mb)
        with job_log_context(claim), self._models.overriding_aliases(claim.alias_digests):
            ending = self._attempt(claim, started_seconds)
        run_seconds = time.monotonic() - started_seconds
        if ending.settlement is None:
            line = job_line(claim, ending.outcome, run_seconds=run_seconds, model=ending.model, reason=ending.reason)
            self._lines.write([line])
            self._pool.event_pipe.send(
                attempt_ended(claim, ending.outcome, run_seconds, None),
                *attempt_finished(claim, ending.outcome, reason=ending.reason, model=ending.model),
            )
        else:
            finished = CompletedJob(claim, ending.settlement, ending.outcome, ending.model, run_seconds, ending.measure)
            self._batch.add(finished)
        if ending.leaving is not None:
            raise ending.leaving

    def _attempt(self, claim: Claim, started_seconds: float) -> AttemptResult:
        model: str | None = None
        try:
            try:
                job = decode_claim(claim)
                if isinstance(job, PredictCard):
                    claim = msgspec.structs.replace(claim, room=self._ledger.bets.room(job, claim.controls))
                model = getattr(job, "model", None)
                report, page = self._handle(job, claim, started_seconds)
            finally:
                self._pool.scoreboard.mark_handler_ended()
            settlement = Settlement.from_result(claim, report, page, self._provenance(claim, job))
            measure = partial(measure_card, job, report, claim.claimed_at)
            answered_by = getattr(report, "model", None) or model
            return AttemptResult("succeeded", answered_by, measure=measure, settlement=settlement)
        except ClaimLostError:
            return AttemptResult("refused", model)
        except (LedgerUnavailableError, InsufficientMemoryError) as unavailable:
            return self._release(claim, str(unavailable))
        except JobSnoozedError as later:
            return self._snooze(claim, later, model)
        except HandlerImportError as broken:
            return self._stop_pool(claim, broken)
        except ShutdownRequested as leaving:
            return self._release(claim, _SHUTDOWN, leaving)
        except (SystemExit, KeyboardInterrupt) as leaving:
            return self._report_lost(claim, model, leaving, "the job ended the process")
        except BaseException as error:  # noqa: BLE001 - any error of a handler must become an outcome
            if ShutdownRequested.raised:
                return self._release(claim, _SHUTDOWN, ShutdownRequested(0))
            if isinstance(error, MemoryError):
                self._models.clear()  # open models may be what fills the child
                if (
                    not started_near_baseline(self._pool.scoreboard.own_slot)
                    and claim.attempt < self._ledger.settings.max_attempts
                ):
                    reason = "it holds memory that its jobs need"
                    self._log.warning("child exits", reason=reason)
                    return self._report_lost(claim, model, SystemExit(1), f"the child ended: {reason}")
            return self._failed(claim, error, model)

    def _handle(self, job: Job, claim: Claim, started_seconds: float) -> HandlerResult:
        if not is_imported(claim.kind, self._pool.handlers):
            self._import_handler(claim)
            started_seconds = time.monotonic()
        context = JobContext(claim, self._pool.settings, self._ledger, self._models, started_seconds)
        self._admission.admit(job, context)
        answer = find_handler(claim.kind, self._pool.handlers)(job, context)
        result = answer if isinstance(answer, HandlerResult) else HandlerResult(answer, None)
        if not isinstance(result.report, Report):
            raise TypeError(f"the handler of {claim.kind} returned {type(answer).__name__}, not a report")
        return result

    def _import_handler(self, claim: Claim) -> None:
        """Import the handler of a claim; the time and memory that this takes are not the job's.

        Raises HandlerImportError, and MemoryError as a job does.
        """
        scoreboard = self._pool.scoreboard
        with scoreboard.importing(anon_rss_mb):
            try:
                import_handler(claim.kind, self._pool.handlers)
            except (ShutdownRequested, MemoryError):
                raise
            except Exception as error:
                raise HandlerImportError(f"{type(error).__name__}: {error}") from error
        pin_libraries()
        start_mb = scoreboard.own_slot.job_start_mb
        scoreboard.start_job(claim.job_id, claim.fence, max_run_seconds(claim), job_start_mb=start_mb)

    def _stop_pool(self, claim: Claim, error: HandlerImportError) -> AttemptResult:
        """End the pool, as if its child could not start: no other child of it could import the handler either."""
        self._log.error("the handler cannot be imported", kind=claim.kind, error=str(error))
        self._pool.scoreboard.report_start_failure()
        return self._release(claim, "the pool cannot import the handler", SystemExit(1))

    def _failed(self, claim: Claim, error: BaseException, model: str | None) -> AttemptResult:
        failure = to_failure(error)
        if isinstance(error, PermissionDeniedError):
            self._log.error("ledger permission denied", kind=claim.kind, error=str(error))
        elif failure.code is FailureCode.INTERNAL:
            self._log.error("internal error", kind=claim.kind, **traceback_locations(error))
        try:
            settlement = Settlement.from_result(claim, failure, origin=self._provenance(claim))
        except (TypeError, ValueError):  # without an outcome the job would run for ever
            self._log.error("failure not encodable", **traceback_locations(error))
            message = f"{type(error).__name__}, whose message is not encodable"
            failure = Failure(code=FailureCode.INTERNAL, message=message)
            settlement = Settlement.from_result(claim, failure)
        return AttemptResult(failure.code.value, model, settlement=settlement)

    def _provenance(self, claim: Claim, job: Job | None = None) -> Provenance:
        return collect_provenance(claim, self._models.resolved_names, self._models.resolved_models(), job)

    def _report_lost(self, claim: Claim, model: str | None, leaving: BaseException, reason: str) -> AttemptResult:
        state = retry_until_available(lambda: self._ledger.report_worker_lost(claim.job_id, claim.fence, reason))
        return AttemptResult(loss_outcome(state), model, leaving=leaving)

    def _snooze(self, claim: Claim, later: JobSnoozedError, model: str | None) -> AttemptResult:
        if isinstance(later, StoreUnavailableError):
            self._log.warning("store unavailable", error=str(later))
        note = claim.snooze_note if later.note is None else later.note
        progress = later.progress or Progress(stage=f"waiting: {later}"[:500], done=0, total=0)
        snoozed = retry_until_available(
            lambda: self._ledger.snooze(claim, later.delay_seconds, note, progress, str(later))
        )
        return AttemptResult("parked" if snoozed else "refused", model, str(later))

    def _release(self, claim: Claim, reason: str, leaving: BaseException | None = None) -> AttemptResult:
        released = retry_until_available(lambda: self._ledger.release(claim, reason=reason))
        return AttemptResult("released" if released else "refused", reason=reason, leaving=leaving)


def max_run_seconds(claim: Claim) -> float:
    """Return how long a job may run: to its time limit, or to its deadline, after which its answer is useless."""
    if claim.deadline is None:
        return claim.time_limit_seconds
    return min(claim.time_limit_seconds, (claim.deadline - claim.claimed_at).total_seconds())
