"""Exit codes of the command line, and the exit code, JSON document and hint of each error."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from ledger.contracts.failures import (
    Failure,
    FailureCode,
    JobFailed,
    JobRefused,
    LedgerError,
    LedgerUnavailable,
    PermissionDenied,
    UnknownJob,
    WaitTimeout,
)
from producer.errors import NotInstalledError, StoredFailure


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
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done; for a card, even if single fights on it failed",
    ExitCode.FAILED: "the job failed, expired or was cancelled; a check failed; a model was refused; a control differs",
    ExitCode.REFUSED: "wrong usage or invalid input: nothing was enqueued",
    ExitCode.UNAVAILABLE: "no server, or it refuses this user or this command",
    ExitCode.TIMEOUT: "no outcome within --timeout; the job goes on",
    ExitCode.UNKNOWN_JOB: "no such job, or its retention has ended",
    ExitCode.NOT_INSTALLED: "this part of cornerman is not installed",
    ExitCode.PARTLY_REFUSED: "part of a feed was refused, the rest is enqueued; events that have begun do not count",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
}

REPLAY_DEADLINE = "2030-01-01T00:00:00Z"
HINTS = {
    FailureCode.MODEL_NOT_FOUND: "List the models: cornerman models. Train one: cornerman train FOLDER",
    FailureCode.MODEL_CORRUPT: "Train the model again: its files have changed since they were written.",
    FailureCode.EXPIRED: f"To replay an old feed, give a later deadline: --deadline {REPLAY_DEADLINE}",
    FailureCode.WORKER_LOST: "Read the log of the pool; the usual cause is too little memory.",
}
AGAIN = "The outcome stays as it is until its retention ends; to submit a new job, add --force to enqueue or train."


EXPECTED_ERRORS = (LedgerError, NotInstalledError)


def code_of(error: Exception) -> ExitCode:
    """Return the exit code of one of `EXPECTED_ERRORS`."""
    match error:
        case JobRefused():
            return ExitCode.REFUSED
        case LedgerUnavailable() | PermissionDenied():
            return ExitCode.UNAVAILABLE
        case WaitTimeout():
            return ExitCode.TIMEOUT
        case UnknownJob():
            return ExitCode.UNKNOWN_JOB
        case NotInstalledError():
            return ExitCode.NOT_INSTALLED
        case _:
            return ExitCode.FAILED


def document_of(error: Exception) -> dict[str, object]:
    """Return the `--json` document of an error: the typed failure, or the exit code's name and the message."""
    if isinstance(error, StoredFailure):
        return {"receipt": msgspec.to_builtins(error.receipt), "failure": msgspec.to_builtins(error.failure)}
    if isinstance(error, JobRefused | JobFailed):
        return {"failure": msgspec.to_builtins(error.failure)}
    return {"failure": {"code": code_of(error).name.lower(), "message": str(error)}}


def next_step(failure: Failure, *, stored: bool) -> str | None:
    """Return a hint on how to resolve a failure, or None if its message suffices.

    `stored`: the failure is a stored outcome, so that the same command would only show it again.
    """
    hint = HINTS.get(failure.code)
    if stored and (failure.retryable or failure.code is FailureCode.CANCELLED):
        return AGAIN if hint is None else f"{hint}\n{AGAIN}"
    return hint
