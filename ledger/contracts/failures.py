"""Typed failures: how a job, or one fight of a card, ends without an answer.

`Failure` is plain data that crosses the wire; `LedgerError` and its subclasses are raised on the caller's side.

    LedgerError
    ├── JobRefusedError          the job was not accepted and nothing was written; `.failure` says why
    │   ├── BetRefusedError      a cap on bets, the drawdown stop or the mode of betting refuses a bet
    │   └── QuotaExceededError   the caller has used up its quota
    ├── JobFailedError           the job ended without a report; `.failure` says why
    ├── BetConflictError         another bet has this id, or the bet is in a state that does not allow the change
    ├── NotDurableError          the server cannot confirm what `durable` asks for; `.missing` says which part
    ├── WaitTimeoutError         no outcome within the caller's timeout; the job goes on
    ├── NotFoundError            nothing of this name is stored: UnknownBetError, UnknownFeedError, ...
    │   └── UnknownJobError      the job was never submitted, or its retention is over
    ├── ArchiveUnavailableError  the archive of outcomes cannot be read from here
    │   └── JobArchivedError     the job is in it
    ├── ControlConflictError     a control has another value than the change expected
    ├── UnreadableOutcomeError   a newer version wrote the outcome
    ├── OutcomesMissedError      outcomes were dropped from the stream before `follow` read them
    ├── PermissionDeniedError    the server's ACL denies a command or key; retrying does not help
    └── LedgerUnavailableError   the server cannot be reached, or refuses this user
        └── ServerFullError      the server's `maxmemory` is reached
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

import msgspec


class FailureCode(StrEnum):
    """The closed set of failure codes. Callers may switch on it; a new code needs a new schema version.

    `superseded` and `predecessor_failed` are of jobs that were submitted with `supersede` or `after`, or replaced so.
    `memory_limit_exceeded` also means a full queue or server: the set has no code of its own for that.
    """

    INVALID_INPUT = "invalid_input"
    UNSUPPORTED_SCHEMA = "unsupported_schema"
    UNKNOWN_FIGHTER = "unknown_fighter"
    MODEL_NOT_FOUND = "model_not_found"
    MODEL_CORRUPT = "model_corrupt"
    MEMORY_LIMIT_EXCEEDED = "memory_limit_exceeded"
    TIME_LIMIT_EXCEEDED = "time_limit_exceeded"
    BOOTSTRAP_FAILED = "bootstrap_failed"
    TRAINING_FAILED = "training_failed"
    STALE_ODDS = "stale_odds"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    WORKER_LOST = "worker_lost"
    SUPERSEDED = "superseded"
    PREDECESSOR_FAILED = "predecessor_failed"
    INTERNAL = "internal"


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no answer.

    Attributes
    ----------
    code
        Code to switch on.
    message
        Sentence that names the offending value and the remedy.
    retryable
        True if the same job may succeed later.
    details
        Figures behind the message (JSON values only).
    """

    code: FailureCode
    message: str
    retryable: bool = False
    details: dict[str, Any] = {}


class LedgerError(Exception):
    """Base class of all errors that this package raises on purpose."""


class JobRefusedError(LedgerError):
    """The job was not accepted and nothing was written; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


class QuotaExceededError(JobRefusedError):
    """The caller has used up its quota; `retry_after_seconds` in the details of `failure` is when to come again."""


class JobFailedError(LedgerError):
    """The job ended as failed, expired or cancelled; `failure` says why."""

    def __init__(self, job_id: str, failure: Failure) -> None:
        super().__init__(f"job {job_id} ended as {failure.code}: {failure.message}")
        self.job_id = job_id
        self.failure = failure


class WaitTimeoutError(LedgerError):
    """The caller's timeout ended before the job did; the job goes on."""


class NotFoundError(LedgerError):
    """Nothing of this name is stored in the ledger."""


class UnknownJobError(NotFoundError):
    """There is no such job: it was never submitted (`unknown`) or its retention is over (`forgotten`)."""

    @classmethod
    def of_state(cls, job_id: str, state: str) -> Self:
        """Return the error for a job that has no record, in the state that the ledger answers for it."""
        reasons = {
            "unknown": "it was never submitted here, or a failover or a restart of the server lost it: submit it again",
            "forgotten": "it ended, and its retention has ended too",
        }
        reason = reasons.get(state, "its record has just been removed")
        return cls(f"job {job_id} is {state}: {reason}")


class ArchiveUnavailableError(LedgerError):
    """The archive of outcomes cannot be reached, or a file of it cannot be read."""


class JobArchivedError(ArchiveUnavailableError):
    """The job is archived, and the archive cannot be read from here.

    Attributes
    ----------
    job_id
        Id of the job.
    location
        Where the archive has it.
    place
        Its place in the stream of outcomes, if it was read there: `follow(after=place)` continues with the next.
    """

    def __init__(self, job_id: str, location: str, reason: str, place: str | None = None) -> None:
        where = f" (follow on after {place})" if place else ""
        super().__init__(f"job {job_id} is archived in {location}{where}: {reason}")
        self.job_id = job_id
        self.location = location
        self.reason = reason
        self.place = place


class PermissionDeniedError(LedgerError):
    """The server's ACL does not let this user run a command, or use a key or channel (`NOPERM`).

    Retrying does not help before an administrator changes the user's rights (`deploy/users.acl`).
    """


class LeadershipLostError(LedgerError):
    """Another process leads now, and nothing was written: see `ledger.feeds.feed_leases`."""


class LedgerUnavailableError(LedgerError):
    """The server cannot be reached, or refuses this user."""
