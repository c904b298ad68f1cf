"""The asyncio client: the methods of `producer.client.Client`, awaited.

    from producer.async_client import AsyncClient

    async with AsyncClient.from_env() as client:                   # CORNERMAN_REDIS_URL, or the server of `up`
        receipt = await client.enqueue(card)
        report = await client.result(receipt, timeout_seconds=30)  # a CardReport

A client belongs to the event loop that uses it first, and serves any number of its tasks: all calls share one
connection to the server, and all waits another. A call that is cancelled leaves nothing behind: a job that was
submitted stays submitted, and its wait can be repeated.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self, Unpack, overload

from ledger.async_ledger import AsyncLedger
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.bet_settlement_report import BetSettlementReport
from ledger.contracts.job_reports.bets_report import BetsReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.monitoring_reports import ComparisonReport, ReviewReport
from ledger.contracts.job_reports.outcome_archive_report import OutcomeArchiveReport
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.job_state import Durability, JobStatus, Outcome, Progress, Receipt
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
from producer.client import ReportT, SubmitManyOptions, SubmitOptions, require_report
from producer.settings import ledger_settings


class AsyncClient:
    """A client of the job queue for asyncio programs that submit jobs and read outcomes.

    Each method does what the method of the same name of `Client` does, with the same errors.

    Parameters
    ----------
    ledger
        The ledger to use; `AsyncClient.from_env` uses the one that the environment names.
    """

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger

    @classmethod
    def from_env(cls) -> AsyncClient:
        """Return a client of the server that the environment names, as the command line does.

        It connects in `async with`, or by its first call; the variables are those of `Client.from_env`.

        Returns
        -------
        AsyncClient
            A client; close it, or use it in an `async with` block.

        Raises
        ------
        LedgerUnavailableError
            There is no server.
        JobRefusedError
            A variable has an invalid value.
        """
        return cls(AsyncLedger(ledger_settings()))

    async def __aenter__(self) -> Self:
        """Connect. Raises LedgerUnavailableError if the server cannot be reached or refuses the user."""
        await self._ledger.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls that still run fail."""
        await self._ledger.close()

    @property
    def ledger(self) -> AsyncLedger:
        """The ledger behind this client."""
        return self._ledger

    @overload
    async def enqueue(self, job: PredictCard, **submission: Unpack[SubmitOptions]) -> Receipt[CardReport]: ...
    @overload
    async def enqueue(self, job: TrainEnsemble, **submission: Unpack[SubmitOptions]) -> Receipt[TrainingReport]: ...
    @overload
    async def enqueue(self, job: Backtest, **submission: Unpack[SubmitOptions]) -> Receipt[BacktestReport]: ...
    @overload
    async def enqueue(self, job: JudgeModels, **submission: Unpack[SubmitOptions]) -> Receipt[JudgementReport]: ...
    @overload
    async def enqueue(self, job: UpdateModel, **submission: Unpack[SubmitOptions]) -> Receipt[UpdateReport]: ...
    @overload
    async def enqueue(self, job: UpdateFightLog, **submission: Unpack[SubmitOptions]) -> Receipt[FightLogReport]: ...
    @overload
    async def enqueue(self, job: CheckHealth, **submission: Unpack[SubmitOptions]) -> Receipt[HealthReport]: ...
    @overload
    async def enqueue(
        self, job: Replay | ReproduceTraining, **submission: Unpack[SubmitOptions]
    ) -> Receipt[ReplayReport]: ...
    @overload
    async def enqueue(self, job: ReviewModel, **submission: Unpack[SubmitOptions]) -> Receipt[ReviewReport]: ...
    @overload
    async def enqueue(self, job: ReviewBets, **submission: Unpack[SubmitOptions]) -> Receipt[BetsReport]: ...
    @overload
    async def enqueue(self, job: CompareModels, **submission: Unpack[SubmitOptions]) -> Receipt[ComparisonReport]: ...
    @overload
    async def enqueue(self, job: CollectGarbage, **submission: Unpack[SubmitOptions]) -> Receipt[GarbageReport]: ...
    @overload
    async def enqueue(self, job: ArchivePrices, **submission: Unpack[SubmitOptions]) -> Receipt[PriceArchiveReport]: ...
    @overload
    async def enqueue(
        self, job: ArchiveOutcomes, **submission: Unpack[SubmitOptions]
    ) -> Receipt[OutcomeArchiveReport]: ...
    @overload
    async def enqueue(self, job: SettleBets, **submission: Unpack[SubmitOptions]) -> Receipt[BetSettlementReport]: ...
    @overload
    async def enqueue(self, job: JobInput, **submission: Unpack[SubmitOptions]) -> Receipt[Report]: ...
    async def enqueue(
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
        return await self._ledger.submit(
            job, key=key, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
        )

    @overload
    async def enqueue_many(
        self, jobs: Sequence[PredictCard], **submission: Unpack[SubmitManyOptions]
    ) -> Sequence[Receipt[CardReport]]: ...
    @overload
    async def enqueue_many(
        self, jobs: Sequence[Job], **submission: Unpack[SubmitManyOptions]
    ) -> Sequence[Receipt[Report]]: ...
    async def enqueue_many(
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
        return await self._ledger.submit_many(
            jobs, keys=keys, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
        )

    async def status(self, job_id: str) -> JobStatus:
        """Return the job's state; `unknown` and `forgotten` are states, not errors."""
        return await self._ledger.status(job_id)

    async def outcome(self, job_id: str) -> Outcome | None:
        """Return the job's outcome, or None if it has not ended or is not known."""
        return await self._ledger.outcome(job_id)

    async def wait(
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
        return await self._ledger.wait(job_id, limit, on_progress=on_progress)

    @overload
    async def result(self, job: Receipt[ReportT], timeout_seconds: float | None = None) -> ReportT: ...
    @overload
    async def result(self, job: str, timeout_seconds: float | None = None) -> Report: ...
    async def result(self, job: Receipt[ReportT] | str, timeout_seconds: float | None = None) -> ReportT | Report:
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
        return require_report(await self.wait(job if isinstance(job, str) else job.job_id, timeout_seconds))

    async def cancel(self, job_id: str) -> JobStatus:
        """Cancel the job, queued or running, and return its state; a job that has ended keeps its outcome."""
        return await self._ledger.cancel(job_id)

    def follow(
        self, after: str = "$", *, on_missed: Callable[[OutcomesMissedError], None] | None = None
    ) -> AsyncIterator[tuple[str, Outcome]]:
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
