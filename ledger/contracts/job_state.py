"""The life of a job as values: state, receipt, progress, status and outcome."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Generic, Literal, TypeAlias, TypeVar

from msgspec import Raw, Struct

from ledger.contracts.failures import Failure
from ledger.contracts.provenance import Provenance
from ledger.contracts.reports import Report

ReportT_co = TypeVar("ReportT_co", bound=Report, covariant=True)


Durability: TypeAlias = bool | Literal["replica"]
"""What a submission waits for: nothing (False), the server's disk (True), or also replicas ("replica")."""


class JobState(StrEnum):
    """State of a job. The last three are about jobs that the server does not hold."""

    WAITING = "waiting"  # submitted; waiting for its time or for another job, and not queued yet
    QUEUED = "queued"  # submitted or released; waiting for a claim
    RUNNING = "running"  # claimed under a lease; a crash makes it queued again, with the next attempt
    SUCCEEDED = "succeeded"  # final, with a report
    FAILED = "failed"  # final, with a failure
    EXPIRED = "expired"  # final: the deadline passed first
    CANCELLED = "cancelled"  # final: cancelled by the caller
    UNKNOWN = "unknown"  # never submitted
    FORGOTTEN = "forgotten"  # had an outcome; its retention is over
    ARCHIVED = "archived"  # has an outcome in the archive, which cannot be read from here

    @property
    def final(self) -> bool:
        """True if the job has an outcome."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED)


class Receipt(Struct, Generic[ReportT_co], frozen=True, kw_only=True, omit_defaults=True):
    """Receipt of an accepted job, typed by the report that will answer it.

    Attributes
    ----------
    job_id
        Id of the job.
    created
        False if the same job existed already.
    durable
        True if the server confirmed that the job is durable, as was asked for: on disk, or on replicas.
    replicas
        Number of replicas that were asked for and have it; absent if none were.
    """

    job_id: str
    created: bool
    durable: bool
    replicas: int = 0


class Progress(Struct, frozen=True, kw_only=True):
    """Progress of a job for display. `left_seconds` is an estimate of the remaining time, None if there is none."""

    stage: str
    done: int
    total: int
    left_seconds: float | None = None


class JobStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Current state of a job.

    Attributes
    ----------
    attempt
        Number of the current or last attempt, 0 before the first claim.
    caller
        Who submitted the job first.
    not_before, after
        The time until which a job waits or waited, and the job that had to succeed first; absent if it did not wait.
    superseded_by
        The newer job of the same card that replaced this one.
    archive
        Where an `archived` job is, or the archive in which an `unknown` one may be, because it cannot be read from
        here.
    """

    job_id: str
    state: JobState
    kind: str | None = None
    queue: str | None = None
    attempt: int = 0
    submitted_at: datetime | None = None
    deadline: datetime | None = None
    progress: Progress | None = None
    caller: str | None = None
    not_before: datetime | None = None
    after: str | None = None
    superseded_by: str | None = None
    archive: str | None = None


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Final outcome of a job: a report or a failure. Times are the server's.

    `origin` is the provenance of the outcome; absent if no worker produced it. `caller` is who submitted the job first.
    `superseded_by` is the newer job of the same card that replaced this one, which may happen after the outcome.
    """

    job_id: str
    kind: str
    state: JobState
    attempt: int
    submitted_at: datetime
    settled_at: datetime
    report: Report | None = None
    failure: Failure | None = None
    correlation_id: str | None = None
    origin: Provenance | None = None
    caller: str | None = None
    superseded_by: str | None = None


class OutcomeDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outcome whose parts are still the JSON that was stored; it encodes to the JSON of the `Outcome`."""

    job_id: str
    kind: str
    state: str
    attempt: int
    submitted_at: datetime
    settled_at: datetime
    report: Raw | None = None
    failure: Raw | None = None
    correlation_id: str | None = None
    origin: Raw | None = None
    caller: str | None = None
    superseded_by: str | None = None
