"""The client: enqueue a job, wait for its answer, follow all answers.

    from producer.client import Client
    from producer.feed.odds_api import read_feed
    from producer.polling import enqueue_feed

    with Client.from_env() as client:                              # CORNERMAN_REDIS_URL, or the server of `up`
        reading = read_feed(response.content, price_format="american")
        for entry in enqueue_feed(client, reading.cards):          # what has not moved makes no job
            if entry.receipt is not None:                          # else entry.refused says why
                report = client.result(entry.receipt, timeout_seconds=30)  # a CardReport

A card of one's own goes in by `client.enqueue(card)`: the same card twice is one job.
A job is accepted whole or refused (`JobRefused`, nothing written), and an accepted job gets exactly one
outcome. The client keeps no state but its connection: a caller that died asks again with the same job id, or
enqueues the same job again. One client may be shared by up to 250 threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TypedDict, TypeVar, Unpack, overload

from ledger.contracts.backtest_report import BacktestReport
from ledger.contracts.codec import decode_job
from ledger.contracts.failures import JobFailed
from ledger.contracts.job_state import JobStatus, Outcome, Progress, Receipt
from ledger.contracts.jobs import (
    Backtest,
    CheckHealth,
    CollectGarbage,
    CompareModels,
    Job,
    JudgeModels,
    PredictCard,
    Replay,
    Retrain,
    ReviewModel,
    TrainEnsemble,
)
from ledger.contracts.judgement_report import JudgementReport
from ledger.contracts.monitoring_reports import ComparisonReport, ReviewReport
from ledger.contracts.replay_report import ReplayReport
from ledger.contracts.reports import CardReport, GarbageReport, HealthReport, Report, TrainingReport
from ledger.jobs.outcome_reader import OutcomesMissed
from ledger.ledger import Ledger
from producer.settings import ledger_settings

ReportT = TypeVar("ReportT", bound=Report)


class Submission(TypedDict, total=False):
    """What may be given with a job: see `Client.enqueue`."""

    key: str | None
    correlation_id: str | None
    durable: bool


class Submissions(TypedDict, total=False):
    """What may be given with several jobs: see `Client.enqueue_many`."""

    keys: Sequence[str | None] | None
    correlation_id: str | None
    durable: bool


class Client:
    """The caller's door to the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @classmethod
    def from_env(cls) -> Client:
        """Connect as the command line does: to the server of `CORNERMAN_REDIS_URL`, or else the one of `cornerman up`.

        The latter is looked for in the folder of `CORNERMAN_DATA` (./.cornerman). The other `CORNERMAN_` variables
        count, too.

        Raises:
            LedgerUnavailable: there is no server, it cannot be reached, or it refuses the user.
            JobRefused: a variable has a value that it cannot have.
        """
        return cls(Ledger.connect(ledger_settings()))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Jobs go on."""
        self._ledger.close()

    @property
    def ledger(self) -> Ledger:
        """The ledger behind this client, for what only operators ask: models, pools, depths of queues."""
        return self._ledger

    @overload
    def enqueue(self, job: PredictCard, **submission: Unpack[Submission]) -> Receipt[CardReport]: ...
    @overload
    def enqueue(self, job: TrainEnsemble, **submission: Unpack[Submission]) -> Receipt[TrainingReport]: ...
    @overload
    def enqueue(self, job: Backtest, **submission: Unpack[Submission]) -> Receipt[BacktestReport]: ...
    @overload
    def enqueue(self, job: JudgeModels, **submission: Unpack[Submission]) -> Receipt[JudgementReport]: ...
    @overload
    def enqueue(self, job: CheckHealth, **submission: Unpack[Submission]) -> Receipt[HealthReport]: ...
    @overload
    def enqueue(self, job: Replay | Retrain, **submission: Unpack[Submission]) -> Receipt[ReplayReport]: ...
    @overload
    def enqueue(self, job: ReviewModel, **submission: Unpack[Submission]) -> Receipt[ReviewReport]: ...
    @overload
    def enqueue(self, job: CompareModels, **submission: Unpack[Submission]) -> Receipt[ComparisonReport]: ...
    @overload
    def enqueue(self, job: CollectGarbage, **submission: Unpack[Submission]) -> Receipt[GarbageReport]: ...
    @overload
    def enqueue(self, job: Job | bytes, **submission: Unpack[Submission]) -> Receipt[Report]: ...
    def enqueue(
        self,
        job: Job | bytes,
        *,
        key: str | None = None,
        correlation_id: str | None = None,
        durable: bool = False,
    ) -> Receipt[Report]:
        """Submit a job, as a value or as the JSON of one, and return its receipt.

        `key` becomes the job's id; without it the id is a digest of the content. Either way, submitting the
        same job again returns the job that is there (`created` is false). `durable` waits until the server
        has the job on disk. `correlation_id` comes back in the outcome.

        Raises:
            JobRefused: invalid_input, unsupported_schema, expired (the deadline has passed), or the key
            stands for another job. Nothing was written. LedgerUnavailable: the server went away; enqueue the
            same again. LedgerError: the server cannot confirm what `durable` asks for.
        """
        value = decode_job(job) if isinstance(job, bytes) else job
        return self._ledger.submit(value, key=key, correlation_id=correlation_id, durable=durable)

    @overload
    def enqueue_many(
        self, jobs: Sequence[PredictCard], **submission: Unpack[Submissions]
    ) -> Sequence[Receipt[CardReport]]: ...
    @overload
    def enqueue_many(self, jobs: Sequence[Job], **submission: Unpack[Submissions]) -> Sequence[Receipt[Report]]: ...
    def enqueue_many(
        self,
        jobs: Sequence[Job],
        *,
        keys: Sequence[str | None] | None = None,
        correlation_id: str | None = None,
        durable: bool = False,
    ) -> Sequence[Receipt[Report]]:
        """Submit jobs and return their receipts in the same order.

        Up to 1,000 (and 4 MiB) go in one step, all or none. More go in several, so that the server answers others in
        between: they are checked first, and nothing is written if one would be refused; what still stops them halfway
        (others fill the queue, the server goes away) leaves the steps before accepted. Submitting all again is safe.
        Raises as `enqueue` does; a refusal halfway has `accepted`, how many were, in its details.
        """
        return self._ledger.submit_many(jobs, keys=keys, correlation_id=correlation_id, durable=durable)

    def status(self, job_id: str) -> JobStatus:
        """Return where the job is now; `unknown` and `forgotten` are answers, not errors."""
        return self._ledger.status(job_id)

    def outcome(self, job_id: str) -> Outcome | None:
        """Return how the job ended, or None where it has not, or is not known."""
        return self._ledger.outcome(job_id)

    def wait(
        self,
        job_id: str,
        timeout_seconds: float | None = None,
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Outcome:
        """Wait until the job has ended and return how, be it a report or a failure; None waits without end.

        `on_progress` is called with what a long job says of itself on the way.

        Raises:
            WaitTimeout: the caller's patience ended first; the job goes on.
            UnknownJob: never submitted, or its retention is over.
        """
        patience = math.inf if timeout_seconds is None else timeout_seconds
        return self._ledger.wait(job_id, patience, on_progress=on_progress)

    @overload
    def result(self, job: Receipt[ReportT], timeout_seconds: float | None = None) -> ReportT: ...
    @overload
    def result(self, job: str, timeout_seconds: float | None = None) -> Report: ...
    def result(self, job: Receipt[ReportT] | str, timeout_seconds: float | None = None) -> ReportT | Report:
        """Wait for a job's report and return it. `job` is the receipt, or the id alone.

        With the receipt of a typed job, type checkers know the report: a `CardReport` for a `PredictCard`.

        Raises:
            JobFailed: the job ended as failed, expired or cancelled; `.failure` says why, with a code to
            switch on. WaitTimeout, UnknownJob: as in `wait`.
        """
        return report_of(self.wait(job if isinstance(job, str) else job.job_id, timeout_seconds))

    def cancel(self, job_id: str) -> JobStatus:
        """Take the job back, queued or running. A job that has already ended keeps its outcome."""
        return self._ledger.cancel(job_id)

    def follow(
        self, after: str = "$", *, on_missed: Callable[[OutcomesMissed], None] | None = None
    ) -> Iterator[tuple[str, Outcome]]:
        """Yield every job's outcome as it comes, with its place in the stream; never ends by itself.

        `after` is the place of the last outcome seen, to go on from there; "$" is now, "0" the oldest kept.

        Raises OutcomesMissed where some are gone before they were read, because this is slower than they come, or came
        too late; it says how many, and after which place to go on. With `on_missed` that is called instead, and it goes
        on by itself.
        """
        return self._ledger.follow(after, on_missed=on_missed)


def report_of(outcome: Outcome) -> Report:
    """Return the outcome's report. Raises JobFailed where it has a failure instead."""
    if outcome.report is not None:
        return outcome.report
    if outcome.failure is None:
        raise ValueError(f"the outcome of job {outcome.job_id} has neither a report nor a failure")
    raise JobFailed(outcome.job_id, outcome.failure)
