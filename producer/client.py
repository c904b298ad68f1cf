"""The Python client: enqueue jobs, wait for their outcomes, follow all outcomes.

    from producer.client import Client
    from producer.feed.odds_api import read_feed
    from producer.polling import enqueue_feed

    with Client.from_env() as client:                              # CORNERMAN_REDIS_URL, or the server of `up`
        reading = read_feed(response.content, price_format="american")
        for entry in enqueue_feed(client, reading.cards):          # unchanged cards make no job
            if entry.receipt is not None:                          # otherwise entry.refused has the reason
                report = client.result(entry.receipt, timeout_seconds=30)  # a CardReport

`client.enqueue(card)` submits a card that does not come from a feed; the same card twice is one job.
A job is accepted as a whole or refused (`JobRefusedError`, nothing written), and an accepted job gets exactly one
outcome. The client has no state except its connection: after a crash, a caller waits for the same job id, or
enqueues the same job again. Up to 250 threads may share one client.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TypeVar, Unpack, overload

from ledger.contracts.failures import JobArchivedError, JobFailedError, UnknownJobError
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.monitoring_reports import ComparisonReport, ReviewReport
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.job_state import Durability, JobState, JobStatus, Outcome, Progress, Receipt
from ledger.contracts.jobs import (
    ArchiveOutcomes,
    ArchivePrices,
    Backtest,
    CheckHealth,
    CollectGarbage,
    CompareModels,
    Job,
    JudgeModels,
    PredictCard,
    Replay,
    ReproduceTraining,
    ReviewBets,
    ReviewModel,
    SettleBets,
    TrainEnsemble,
    UpdateFightLog,
    UpdateModel,
)
from ledger.contracts.replay_report import ReplayReport
from ledger.contracts.reports import CardReport, GarbageReport, HealthReport, Report, TrainingReport
from ledger.jobs.conditions import SubmitConditions
from ledger.jobs.job_entries import JobInput
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.ledger import Ledger
from producer.settings import ledger_settings

ReportT = TypeVar("ReportT", bound=Report)


class SubmitOptions(SubmitConditions, total=False):
    """Options of `Client.enqueue`."""

    key: str | None
    correlation_id: str | None
    durable: Durability
    caller: str | None


class SubmitManyOptions(SubmitConditions, total=False):
    """Options of `Client.enqueue_many`."""

    keys: Sequence[str | None] | None
    correlation_id: str | None
    durable: Durability
    caller: str | None


class Client:
    """A client of the job queue for services that submit jobs and read outcomes.

    Parameters
    ----------
    ledger
        The ledger to use; `Client.from_env` connects to the one that the environment names.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @classmethod
    def from_env(cls) -> Client:
        """Connect to the server that the environment names, as the command line does.

        The server is that of `CORNERMAN_REDIS_URL`, or otherwise the one that `cornerman up` runs for the folder of
        `CORNERMAN_DATA` (./.cornerman). The other `CORNERMAN_` variables apply too.

        Returns
        -------
        Client
            A connected client; close it, or use it in a `with` block.

        Raises
        ------
        LedgerUnavailableError
            There is no server, it cannot be reached, or it refuses the user.
        JobRefusedError
            A variable has an invalid value.
        """
        return cls(Ledger.connect(ledger_settings()))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; submitted jobs go on."""
        self._ledger.close()

    @property
    def ledger(self) -> Ledger:
        """The ledger behind this client, for operators: models, controls, dead letters, pools, queue depths."""
        return self._ledger

    @overload
    def enqueue(self, job: PredictCard, **submission: Unpack[SubmitOptions]) -> Receipt[CardReport]: ...
    @overload
    def enqueue(self, job: TrainEnsemble, **submission: Unpack[SubmitOptions]) -> Receipt[TrainingReport]: ...
    @overload
    def enqueue(self, job: Backtest, **submission: Unpack[SubmitOptions]) -> Receipt[BacktestReport]: ...
    @overload
    def enqueue(self, job: JudgeModels, **submission: Unpack[SubmitOptions]) -> Receipt[JudgementReport]: ...
    @overload
    def enqueue(self, job: UpdateModel, **submission: Unpack[SubmitOptions]) -> Receipt[UpdateReport]: ...
    @overload
    def enqueue(self, job: UpdateFightLog, **submission: Unpack[SubmitOptions]) -> Receipt[FightLogReport]: ...
    @overload
    def enqueue(self, job: CheckHealth, **submission: Unpack[SubmitOptions]) -> Receipt[HealthReport]: ...
    @overload
    def enqueue(
        self, job: Replay | ReproduceTraining, **submission: Unpack[SubmitOptions]
    ) -> Receipt[ReplayReport]: ...
    @overload
    def enqueue(self, job: ReviewModel, **submission: Unpack[SubmitOptions]) -> Receipt[ReviewReport]: ...
    @overload
    def enqueue(self, job: ReviewBets, **submission: Unpack[SubmitOptions]) -> Receipt[BetsReport]: ...
    @overload
    def enqueue(self, job: CompareModels, **submission: Unpack[SubmitOptions]) -> Receipt[ComparisonReport]: ...
    @overload
    def enqueue(self, job: CollectGarbage, **submission: Unpack[SubmitOptions]) -> Receipt[GarbageReport]: ...
    @overload
    def enqueue(self, job: ArchivePrices, **submission: Unpack[SubmitOptions]) -> Receipt[PriceArchiveReport]: ...
    @overload
    def enqueue(self, job: ArchiveOutcomes, **submission: Unpack[SubmitOptions]) -> Receipt[OutcomeArchiveReport]: ...
    @overload
    def enqueue(self, job: SettleBets, **submission: Unpack[SubmitOptions]) -> Receipt[BetSettlementReport]: ...
    @overload
    def enqueue(self, job: JobInput, **submission: Unpack[SubmitOptions]) -> Receipt[Report]: ...
    def enqueue(
        self,
        job: JobInput,
        *,
        key: str | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> Receipt[Report]:
        """Submit a job and return its receipt.

        Submitting the same job again returns the existing job (`created` is false).

        Parameters
        ----------
        job
            The job, its JSON, or a `CheckedJob`, which was decoded from JSON and checked.
        key
            Id of the job; by default a digest of its content.
        correlation_id
            Text to return with the outcome.
        durable
            True: return only after the server has written the job to disk. "replica": after replicas have it, too.
        caller
            Name of who submits the job; default: `CORNERMAN_CALLER`. A job that exists keeps its first caller.
        **conditions
            `not_before`: time until which the job stays `waiting`. `after`: id of a job that has to succeed first; if
            it ends otherwise, this one fails as `predecessor_failed`. `supersede=True`: a card replaces the earlier
            jobs of the same card_id, model, options and caller; those that wait or are queued end as cancelled with
            the code `superseded`, the others are marked with `superseded_by`. `supersedes`: a card_id, or the id of a
            job, that the card replaces, too, such as the card before its start moved.

        Returns
        -------
        Receipt
            The job's id, typed by the report that the job will have.

        Raises
        ------
        JobRefusedError
            The job is invalid, of an unsupported schema, past its deadline, or `key` belongs to another job; the job
            `after` cannot succeed any more; or another job has newer prices of the card. Nothing was written.
        LedgerUnavailableError
            The server went away. Enqueue the same job again.
        LedgerError
            The server cannot confirm the write that `durable` requires.
        """
        return self._ledger.submit(
            job, key=key, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
        )

    @overload
    def enqueue_many(
        self, jobs: Sequence[PredictCard], **submission: Unpack[SubmitManyOptions]
    ) -> Sequence[Receipt[CardReport]]: ...
    @overload
    def enqueue_many(
        self, jobs: Sequence[Job], **submission: Unpack[SubmitManyOptions]
    ) -> Sequence[Receipt[Report]]: ...
    def enqueue_many(
        self,
        jobs: Sequence[Job],
        *,
        keys: Sequence[str | None] | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> Sequence[Receipt[Report]]:
        """Submit jobs and return their receipts in the same order.

        Up to 1,000 jobs (and 4 MiB as stored) are submitted in one step, all or none. More are submitted in several
        steps, so that the server can serve others in between. All jobs are validated first, and nothing is written if
        one is invalid. If a later step fails (a full queue, a lost server), the earlier steps stay accepted. Submitting
        all jobs again is safe.

        Parameters
        ----------
        jobs
            The jobs.
        keys
            Id of each job, or None for a digest of its content.
        correlation_id, durable, caller, **conditions
            As in `enqueue`, for each of the jobs.

        Raises
        ------
        JobRefusedError
            As in `enqueue`. If a later step was refused, the detail `accepted` counts the accepted jobs.
        LedgerUnavailableError, LedgerError
            As in `enqueue`.
        """
        return self._ledger.submit_many(
            jobs, keys=keys, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
        )

    def status(self, job_id: str) -> JobStatus:
        """Return the job's state; `unknown` and `forgotten` are states, not errors."""
        return self._ledger.status(job_id)

    def outcome(self, job_id: str) -> Outcome | None:
        """Return the job's outcome, or None if it has not ended or is not known."""
        return self._ledger.outcome(job_id)

    def wait(
        self,
        job_id: str,
        timeout_seconds: float | None = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Outcome:
        """Wait until the job has ended and return its outcome, with a report or a failure.

        Parameters
        ----------
        job_id
            Id of the job.
        timeout_seconds
            Longest time to wait; None: no limit.
        on_progress
            Function to call with each progress report of a long job.

        Raises
        ------
        WaitTimeoutError
            The job has not ended within the timeout; it goes on.
        UnknownJobError
            The job was never submitted, or its retention has ended.
        """
        limit = math.inf if timeout_seconds is None else timeout_seconds
        return self._ledger.wait(job_id, limit, on_progress=on_progress)

    @overload
    def result(self, job: Receipt[ReportT], timeout_seconds: float | None = None) -> ReportT: ...
    @overload
    def result(self, job: str, timeout_seconds: float | None = None) -> Report: ...
    def result(self, job: Receipt[ReportT] | str, timeout_seconds: float | None = None) -> ReportT | Report:
        """Wait for a job's report and return it.

        Parameters
        ----------
        job
            The job's receipt, or its id. With a receipt, type checkers know the type of the report: a `CardReport` for
            a `PredictCard`.
        timeout_seconds
            Longest time to wait; None: no limit.

        Raises
        ------
        JobFailedError
            The job failed, expired or was cancelled; `.failure` has a code to switch on and a message.
        WaitTimeoutError, UnknownJobError
            As in `wait`.
        """
        return require_report(self.wait(job if isinstance(job, str) else job.job_id, timeout_seconds))

    def cancel(self, job_id: str) -> JobStatus:
        """Cancel the job, queued or running, and return its state; a job that has ended keeps its outcome."""
        return self._ledger.cancel(job_id)

    def follow(
        self, after: str = "$", *, on_missed: Callable[[OutcomesMissedError], None] | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        """Yield the outcome of every job as it ends, with its position in the stream, without end.

        Parameters
        ----------
        after
            Position of the last outcome seen; "$" is now, "0" the oldest stored.
        on_missed
            Function to call if outcomes were dropped before they could be read; the stream then continues.

        Raises
        ------
        OutcomesMissedError
            Outcomes were dropped before they could be read, and `on_missed` is None. The error has their number and
            the position to continue from.
        """
        return self._ledger.follow(after, on_missed=on_missed)


def require_report(outcome: Outcome) -> Report:
    """Return the outcome's report. Raises JobFailedError if the outcome is a failure."""
    if outcome.report is not None:
        return outcome.report
    if outcome.failure is None:
        raise ValueError(f"the outcome of job {outcome.job_id} has neither a report nor a failure")
    raise JobFailedError(outcome.job_id, outcome.failure)


def existing_status(job: JobStatus) -> JobStatus:
    """Return the status if the ledger holds the job.

    Raises UnknownJobError if not, and JobArchivedError if only an archive that cannot be read from here can tell.
    """
    if job.state is JobState.UNKNOWN and job.archive is not None:
        reason = f"cornerman result {job.job_id} says why it cannot be read"
        raise JobArchivedError(job.job_id, f"{job.archive}, or unknown", reason)
    if job.state in (JobState.UNKNOWN, JobState.FORGOTTEN):
        raise UnknownJobError.of_state(job.job_id, job.state)
    return job
