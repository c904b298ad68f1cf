"""What the JSON routes share: types of parameters, receipts and checks of a request."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict
from urllib.parse import quote

import msgspec
from litestar import Request
from litestar.params import HeaderParameter, Parameter
from litestar.response import Response

from gateway.problems import ProblemError
from gateway.security.caller import Caller
from ledger.contracts.job_state import Durability, Receipt
from ledger.contracts.trace_context import TraceContext

JSON = "application/json"

JobId = Annotated[str, Parameter(min_length=1, max_length=200, description="Id of the job.")]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(name="Idempotency-Key", min_length=1, max_length=200, description="Becomes the id of the job."),
]
CorrelationId = Annotated[
    str | None,
    HeaderParameter(
        name="X-Correlation-ID", max_length=200, description="Returned with the outcome; default: request id."
    ),
]
TraceParent = Annotated[
    str | None,
    HeaderParameter(name="traceparent", description="Trace that the job belongs to (W3C Trace Context)."),
]
TraceState = Annotated[
    str | None, HeaderParameter(name="tracestate", description="State of vendors that belongs to `traceparent`.")
]
Durable = Annotated[
    str,
    Parameter(description="`true`: answer only once the server has the job on disk; `replica`: once replicas have it."),
]


def durability(given: str) -> Durability:
    """Return the value of a `durable` parameter. Raises ProblemError (400)."""
    known: dict[str, Durability] = {"true": True, "1": True, "false": False, "0": False, "replica": "replica"}
    if (found := known.get(given.lower())) is None:
        raise ProblemError(400, f"durable is true, false or replica, not {given[:80]!r}")
    return found


class TraceHeaders(TypedDict, total=False):
    """The options of a submission that say to which trace it belongs."""

    traceparent: str
    tracestate: str


def json_response(value: Any, status: int = 200, **headers: str) -> Response[bytes]:
    """Return a value as a JSON response."""
    return Response(msgspec.json.encode(value), status_code=status, media_type=JSON, headers=headers)


def created(receipt: Receipt[Any]) -> Response[bytes]:
    """Return the response to a submission: 201 with its receipt, 200 if the job was known."""
    return json_response(
        receipt, 201 if receipt.created else 200, Location=f"/v1/jobs/{quote(receipt.job_id, safe='')}"
    )


def require_json(request: Request[Caller, Any, Any]) -> None:
    """Refuse a body of another media type. Raises ProblemError (415)."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != JSON:
        raise ProblemError(415, f"send the body as {JSON}, not as {given[:80] or 'a body without Content-Type'}")


def header_text(value: str | None) -> str | None:
    """Return the text of a header, which is UTF-8 and reaches handlers as Latin-1. Raises ProblemError (400)."""
    try:
        return None if value is None else value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise ProblemError(400, f"the header {value!r} is not UTF-8") from None


def correlation(request: Request[Any, Any, Any], given: str | None) -> str:
    """Return the correlation id of a submission: the one of its header, or the id of the request."""
    return header_text(given) or str(request.scope["state"]["request_id"])


def trace_headers(traceparent: str | None, tracestate: str | None = None) -> TraceHeaders:
    """Return the trace of a submission; none for an invalid header, which the W3C's Trace Context says to ignore."""
    context = TraceContext.from_headers(traceparent or "", tracestate)
    if context is None:
        return {}
    return {"traceparent": context.traceparent, "tracestate": context.state}
