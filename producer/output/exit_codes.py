"""Exit codes of the command line, and the exit code, JSON document and hint of each error."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from ledger.contracts.failures import (
    ArchiveUnavailableError,
    Failure,
    FailureCode,
    JobFailedError,
    JobRefusedError,
    LedgerError,
    LedgerUnavailableError,
    NotFoundError,
    PermissionDeniedError,
    WaitTimeoutError,
)
from producer.errors import BrokenAuditError, NotInstalledError, StoredFailureError


class ExitCode(IntEnum):
    """Exit codes that scripts may rely on; `MEANINGS` describes each."""

    OK = 0
    FAILED = 1
    REFUSED = 2
    UNAVAILABLE = 3
    TIMEOUT = 4
    UNKNOWN_JOB = 5
    NOT_INSTALLED = 6
    PARTLY_REFUSED = 7
    BROKEN_AUDIT = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done; for a card, even if single fights on it failed",
    ExitCode.FAILED: "the job failed, expired or was cancelled; a check failed; a model was refused; a control differs",
    ExitCode.REFUSED: "wrong usage or invalid input: nothing was enqueued",
    ExitCode.UNAVAILABLE: "no server or archive, or it refuses this user or this command",
    ExitCode.TIMEOUT: "no outcome within --timeout; the job goes on",
    ExitCode.UNKNOWN_JOB: "no such job, bet, feed, schedule, webhook or fight, or the job's retention has ended",
    ExitCode.NOT_INSTALLED: "this part of cornerman is not installed",
    ExitCode.PARTLY_REFUSED: "part of a feed was refused, the rest is read; events that have begun do not count",
    ExitCode.BROKEN_AUDIT: "an audit file has a line that is changed, missing, reordered, repeated or truncated",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
}

REPLAY_DEADLINE = "2030-01-01T00:00:00Z"
HINTS = {
    FailureCode.MODEL_NOT_FOUND: "List the models: cornerman models. Train one: cornerman train FOLDER",
    FailureCode.MODEL_CORRUPT: "Train the model again: its files have changed since they were written.",
    FailureCode.EXPIRED: f"To replay an old feed, give a later deadline: --deadline {REPLAY_DEADLINE}",
    FailureCode.WORKER_LOST: "Read the log of the pool; the usual cause is too little memory.",
}
FORCE_HINT = (
    "The outcome stays as it is until its retention ends; to submit a new job, add --force to enqueue or train."
)


EXPECTED_ERRORS = (LedgerError, NotInstalledError)


def exit_code_for(error: Exception) -> ExitCode:
    """Return the exit code of one of `EXPECTED_ERRORS`."""
    match error:
        case JobRefusedError():
            return ExitCode.REFUSED
        case LedgerUnavailableError() | PermissionDeniedError() | ArchiveUnavailableError():
            return ExitCode.UNAVAILABLE
        case WaitTimeoutError():
            return ExitCode.TIMEOUT
        case NotFoundError():
            return ExitCode.UNKNOWN_JOB
        case BrokenAuditError():
            return ExitCode.BROKEN_AUDIT
        case NotInstalledError():
            return ExitCode.NOT_INSTALLED
        case _:
            return ExitCode.FAILED


def error_document(error: Exception) -> dict[str, object]:
    """Return the `--json` document of an error: the typed failure, or the exit code's name and the message."""
    if isinstance(error, StoredFailureError):
        return {"receipt": msgspec.to_builtins(error.receipt), "failure": msgspec.to_builtins(error.failure)}
    if isinstance(error, JobRefusedError | JobFailedError):
        return {"failure": msgspec.to_builtins(error.failure)}
    return {"failure": {"code": exit_code_for(error).name.lower(), "message": str(error)}}


def hint_for(failure: Failure, *, stored: bool) -> str | None:
    """Return a hint on how to resolve a failure, or None if its message suffices.

    `stored`: the failure is a stored outcome, so that the same command would only show it again.
    """
    hint = HINTS.get(failure.code)
    if stored and (failure.retryable or failure.code is FailureCode.CANCELLED):
        return FORCE_HINT if hint is None else f"{hint}\n{FORCE_HINT}"
    return hint
