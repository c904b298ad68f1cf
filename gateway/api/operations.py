"""What the routes of operators share: bodies with a reason, and the values that a change expects."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request
from litestar.params import Parameter
from msgspec import Meta

from gateway.api.responses import require_json
from gateway.problems import ProblemError
from gateway.security.caller import Caller
from ledger.contracts.failures import FailureCode
from ledger.contracts.lazy_decoder import decode

MAX_BODY_BYTES = 64 * 1024

Reason = Annotated[str, Meta(min_length=1, max_length=1000, description="Why, for the history.")]
Limit = Annotated[int, Parameter(ge=1, le=1000, description="How many, newest first.")]

BodyT = TypeVar("BodyT")


def read_body(request: Request[Caller, Any, Any], body: bytes, kind: type[BodyT]) -> BodyT:
    """Return the body of a request. Raises ProblemError: 415 for another media type, 422 with what is wrong."""
    require_json(request)
    try:
        return decode(body, kind)
    except msgspec.DecodeError as error:
        raise ProblemError(422, f"the body: {error}", code=FailureCode.INVALID_INPUT) from None
