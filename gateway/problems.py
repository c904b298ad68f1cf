"""Errors as `application/problem+json` (RFC 9457), with the failure codes of the ledger."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec
import structlog
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.response import Response
from msgspec import Struct

from ledger.contracts.failures import (
    FailureCode,
    JobArchivedError,
    JobRefusedError,
    LedgerError,
    LedgerUnavailableError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    UnknownJobError,
    WaitTimeoutError,
)
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.jobs.outcome_records import UnreadableOutcomeError
from ledger.operations.control_store import ControlConflictError

PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 1
_TITLES = {
    400: "Bad request",
    401: "No valid token",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request too slow",
    409: "Conflict",
    410: "Gone",
    413: "Request too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    422: "Refused",
    429: "Too many requests",
    500: "Internal error",
    502: "Unreadable record",
    503: "Temporarily unavailable",
}


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error (RFC 9457). `code` is a failure code of the ledger; `details` are the figures behind `detail`.

    `retryable`: the same request may succeed later, after `Retry-After` if the response has it.
    """

    type: str
    title: str
    status: int
    detail: str
    code: FailureCode | None = None
    retryable: bool = False
    details: dict[str, Any] = {}
    request_id: str | None = None


class ProblemError(Exception):
    """An error that is answered with this status."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: FailureCode | None = None,
        retry_after_seconds: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds
        self.details = details or {}


class ProblemReply(NamedTuple):
    """The parts of the response to an error."""

    status: int
    headers: dict[str, str]
    body: bytes


def describe_problem(error: Exception, request_id: str | None) -> tuple[Problem, dict[str, str]]:
    """Return what any error of a request means, and headers of its response; log faults of this program."""
    known = _problem_of(error)
    if known.status == 500:
        structlog.get_logger("gateway").error("request failed", exc_info=error)
    problem = Problem(
        type=f"/reference#problem-{known.code or known.status}",
        title=_TITLES.get(known.status, "Error"),
        status=known.status,
        detail=str(known),
        code=known.code,
        retryable=known.retry_after_seconds is not None,
        details=known.details,
        request_id=request_id,
    )
    headers = dict(getattr(error, "headers", None) or {})
    if known.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(known.retry_after_seconds)))
    return problem, headers


def problem_reply(error: Exception, request_id: str | None) -> ProblemReply:
    """Return the response to any error of a request."""
    problem, headers = describe_problem(error, request_id)
    return ProblemReply(problem.status, headers, msgspec.json.encode(problem))


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Return the response to an error of a handler."""
    status, headers, body = problem_reply(error, request.scope["state"].get("request_id"))
    return Response(body, status_code=status, headers=headers, media_type=PROBLEM_TYPE)


def _problem_of(error: Exception) -> ProblemError:
    match error:
        case ProblemError():
            return error
        case JobRefusedError():
            return _refused(error)
        case UnknownJobError():
            return ProblemError(410 if "forgotten" in str(error) else 404, str(error))
        case NotFoundError():
            return ProblemError(404, str(error))
        case ControlConflictError():
            return ProblemError(409, str(error))
        case OutcomesMissedError():
            return ProblemError(410, str(error), details={"missed": error.count, "place": error.place})
        case JobArchivedError():
            return ProblemError(502, str(error), details={"job_id": error.job_id, "location": error.location})
        case UnreadableOutcomeError():
            return ProblemError(502, str(error), details={"job_id": error.job_id})
        case LedgerUnavailableError() | PermissionDeniedError() | WaitTimeoutError():
            return ProblemError(503, str(error), retry_after_seconds=RETRY_SECONDS)
        case LedgerError():
            return ProblemError(409, str(error))
        case HTTPException():
            return ProblemError(error.status_code, error.detail, details=_validation_details(error))
        case _:
            return ProblemError(500, "this is a fault of the gateway: its log has the request_id and the reason")


def _refused(error: JobRefusedError) -> ProblemError:
    failure = error.failure
    full = failure.code is FailureCode.MEMORY_LIMIT_EXCEEDED
    after = float(failure.details.get("retry_after_seconds", RETRY_SECONDS)) if full else None
    conflict = failure.code in (FailureCode.SUPERSEDED, FailureCode.PREDECESSOR_FAILED)
    status = 429 if isinstance(error, QuotaExceededError) else 503 if full else 409 if conflict else 422
    return ProblemError(
        status,
        failure.message,
        code=failure.code,
        retry_after_seconds=after,
        details=failure.details,
    )


def _validation_details(error: HTTPException) -> dict[str, Any]:
    """Return what a validation found, without the values."""
    if not isinstance(error.extra, list):
        return {}
    return {
        "invalid": [{name: part[name] for name in ("key", "message", "source") if name in part} for part in error.extra]
    }
