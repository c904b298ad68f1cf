"""Translation of exceptions into typed failures on which a caller can act.

The table is searched from the top, so a special type comes before its base. An exception without an entry is a defect
of cornerman and becomes `internal`.
"""

from __future__ import annotations

from engine.errors import (
    AmbiguousFighterError,
    BootstrapError,
    BundleError,
    BundleNotFoundError,
    EngineError,
    TrainingError,
    TrainingTimeoutError,
    UnknownFighterError,
    ValidationError,
)
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError, PermissionDeniedError
from workers.errors import StoreUnavailableError

MAX_MESSAGE_CHARACTERS = 2000

# Exception, failure code, and whether the same job may succeed later: on another pool, or after a repair.
_CODES: tuple[tuple[type[BaseException], FailureCode, bool], ...] = (
    (UnknownFighterError, FailureCode.UNKNOWN_FIGHTER, False),
    (AmbiguousFighterError, FailureCode.UNKNOWN_FIGHTER, False),
    (ValidationError, FailureCode.INVALID_INPUT, False),
    (BundleNotFoundError, FailureCode.MODEL_NOT_FOUND, True),
    (StoreUnavailableError, FailureCode.MODEL_NOT_FOUND, True),
    (BundleError, FailureCode.MODEL_CORRUPT, False),
    (BootstrapError, FailureCode.BOOTSTRAP_FAILED, False),
    (TrainingTimeoutError, FailureCode.TIME_LIMIT_EXCEEDED, True),
    (TrainingError, FailureCode.TRAINING_FAILED, False),
    (MemoryError, FailureCode.MEMORY_LIMIT_EXCEEDED, True),
    (PermissionDeniedError, FailureCode.INTERNAL, True),
)


def to_failure(error: BaseException) -> Failure:
    """Return the failure for an error that a handler raised."""
    if isinstance(error, JobRefusedError):
        return error.failure
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        error = MemoryError()  # a memory limit can also leave no space for a thread's stack
    for kind, code, retryable in _CODES:
        if isinstance(error, kind):
            details = error.details if isinstance(error, EngineError) else {}
            return Failure(code=code, message=_message(error), retryable=retryable, details=details)
    return Failure(code=FailureCode.INTERNAL, message=f"{type(error).__name__}: {_message(error)}")


def time_limit_failure(limit_seconds: float) -> Failure:
    """Return the failure of a job whose child was killed for exceeding the job's time limit."""
    return Failure(
        code=FailureCode.TIME_LIMIT_EXCEEDED,
        message=f"the job ran longer than its limit of {limit_seconds:g} s and was stopped: request less per job",
        retryable=True,
        details={"limit_seconds": limit_seconds},
    )


def deadline_failure() -> Failure:
    """Return the failure of a job whose child was killed because the deadline had passed."""
    return Failure(
        code=FailureCode.EXPIRED,
        message="the deadline passed while the job ran, and it was stopped: submit earlier, or set a later deadline",
    )


def memory_limit_failure(used_mb: float, ceiling_mb: float) -> Failure:
    """Return the failure of a job whose child was killed for exceeding its memory ceiling."""
    return Failure(
        code=FailureCode.MEMORY_LIMIT_EXCEEDED,
        message=f"the job took its child to {used_mb:.1f} MB, its limit is {ceiling_mb:.1f} MB, and was stopped: "
        "request less per job, or raise max_memory_mb or CORNERMAN_CHILD_MAX_MEMORY_MB",
        retryable=True,
        details={"used_mb": used_mb, "max_memory_mb": ceiling_mb},
    )


def _message(error: BaseException) -> str:
    if isinstance(error, MemoryError) and not str(error):
        return "the child ran into its memory limit: send fewer fights a card, or raise CORNERMAN_CHILD_MAX_MEMORY_MB"
    # A file name that is not valid Unicode must not make the failure impossible to encode.
    text = str(error).encode("utf-8", "backslashreplace").decode()
    return (text or "no message")[:MAX_MESSAGE_CHARACTERS]
