"""A job's life as values: its states, its receipt, its progress and its one outcome."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from ledger.contracts.failures import Failure
from ledger.contracts.provenance import Origin
from ledger.contracts.reports import Report

ReportT_co = TypeVar("ReportT_co", bound=Report, covariant=True)


class State(StrEnum):
    """Where a job is. The last two are answers about jobs that the ledger does not hold."""

    QUEUED = "queued"  # submitted, or given back; waits for a claim
    RUNNING = "running"  # claimed under a lease; a crash makes it queued again, with the next attempt
    SUCCEEDED = "succeeded"  # final: has a report
    FAILED = "failed"  # final: has a failure
    EXPIRED = "expired"  # final: its deadline passed before an answer
    CANCELLED = "cancelled"  # final: the caller took it back
    UNKNOWN = "unknown"  # never submitted
    FORGOTTEN = "forgotten"  # was settled, and its retention is over

    @property
    def final(self) -> bool:
        """Whether an outcome exists."""
        return self in (State.SUCCEEDED, State.FAILED, State.EXPIRED, State.CANCELLED)


class Receipt(Struct, Generic[ReportT_co], frozen=True, kw_only=True):
    """An accepted job, and the type of the report that answers it, for type checkers.

    `created` is false if the same job was there already; `durable` is true if fsync is confirmed.
    """

    job_id: str
    created: bool
    durable: bool


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job is, for people. `left_seconds` is an estimate of what is still to go, where there can be one."""

    stage: str
    done: int
    total: int
    left_seconds: float | None = None


class JobStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger knows of a job now. `attempt` is 0 before the first claim."""

    job_id: str
    state: State
    kind: str | None = None
    queue: str | None = None
    attempt: int = 0
    submitted_at: datetime | None = None
    deadline: datetime | None = None
    progress: Progress | None = None


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a job ended, once and for all: a report, or a failure. Times are the server's.

    `origin` is what decided it beside the job; absent where no worker made it.
    """

    job_id: str
    kind: str
    state: State
    attempt: int
    submitted_at: datetime
    settled_at: datetime
    report: Report | None = None
    failure: Failure | None = None
    correlation_id: str | None = None
    origin: Origin | None = None
