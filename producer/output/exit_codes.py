"""The exit code, JSON document and hint of each error that a command may end with."""

from __future__ import annotations

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
from producer.output.exit_code_table import MEANINGS as MEANINGS
from producer.output.exit_code_table import ExitCode as ExitCode

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
