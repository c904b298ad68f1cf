"""Typed failures: what a job, or one fight of a card, can end as instead of an answer.

`Failure` is plain data that crosses the wire; `LedgerError` is what the caller's side raises.

    LedgerError
    ├── JobRefused        the job was not accepted; `.failure` says why, nothing was written
    ├── JobFailed         the job ended without a report; `.failure` says why
    ├── WaitTimeout       no outcome within the caller's own timeout; the job goes on
    ├── UnknownJob        never submitted, or its retention is over
    ├── PermissionDenied  the server's ACL does not let this user do that; waiting does not help
    └── LedgerUnavailable the server cannot be used now: it is away, or lets nobody in under this name
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class FailureCode(StrEnum):
    """The closed set of reasons. A reader may switch on it; new codes need a new schema version."""

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
    INTERNAL = "internal"


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no answer.

    `message` names the offending thing and says what to do; `retryable` tells whether the same job may succeed
    later; `details` holds the figures (JSON values only).
    """

    code: FailureCode
    message: str
    retryable: bool = False
    details: dict[str, Any] = {}


class LedgerError(Exception):
    """Base of everything that this package raises on purpose."""


class JobRefused(LedgerError):
    """The job was not accepted and nothing was written."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


class JobFailed(LedgerError):
    """The job ended as failed, expired or cancelled."""

    def __init__(self, job_id: str, failure: Failure) -> None:
        super().__init__(f"job {job_id} ended as {failure.code}: {failure.message}")
        self.job_id = job_id
        self.failure = failure


class WaitTimeout(LedgerError):
    """The caller's patience ended before the job did. The job goes on."""


class UnknownJob(LedgerError):
    """No such job: it was never submitted (`unknown`) or its retention is over (`forgotten`)."""


class PermissionDenied(LedgerError):
    """The server's ACL does not let this user run a command, or touch a key or channel (`NOPERM`).

    It is no outage: the same is refused again until someone changes the user's rights (`deploy/users.acl`).
    """


class LedgerUnavailable(LedgerError):
    """The server cannot be reached, or does not let this user in."""
