"""Failures of retrievals: the reason, what to do, and how soon another try makes sense."""

from __future__ import annotations

from enum import StrEnum

from producer.feed_runner.budget import Usage


class Reason(StrEnum):
    """Why a retrieval failed; a label of metrics."""

    UNAUTHORIZED = "unauthorized"
    OUT_OF_CREDITS = "out_of_credits"
    INVALID_PARAMETER = "invalid_parameter"
    NOT_FOUND = "not_found"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    HALF_BODY = "half_body"
    REDIRECT = "redirect"
    CONTENT_TYPE = "content_type"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    UNEXPECTED_STATUS = "unexpected_status"
    PROCESSING = "processing"


TRANSIENT = frozenset({Reason.SERVER_ERROR, Reason.TIMEOUT, Reason.CONNECTION, Reason.HALF_BODY})
"""Reasons for which another try in the same poll makes sense."""
LASTING = frozenset(
    {Reason.UNAUTHORIZED, Reason.INVALID_PARAMETER, Reason.NOT_FOUND, Reason.REDIRECT, Reason.UNEXPECTED_STATUS}
)
"""Reasons that stay until somebody changes something."""


class RetrievalError(Exception):
    """A retrieval failed; the message names the problem and the remedy, and contains no secret.

    Attributes
    ----------
    reason
        What failed.
    retry_after_seconds
        When the provider wants to be asked again; None if it does not say.
    usage
        The budget as the headers of the response have it.
    """

    def __init__(
        self, reason: Reason, message: str, *, retry_after_seconds: float | None = None, usage: Usage | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage or Usage()
