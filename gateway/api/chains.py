"""Routes of chains of jobs: submit, state, cancel."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter, RawBody
from litestar.response import Response
from msgspec import Struct

from gateway.api.jobs import After, NotBefore, check_kind
from gateway.api.responses import (
    CorrelationId,
    Durable,
    TraceParent,
    TraceState,
    correlation,
    durability,
    json_response,
    require_json,
    trace_headers,
)
from gateway.security.caller import Caller, Role
from ledger.contracts import codec
from ledger.contracts.job_state import Receipt
from ledger.jobs.chains import MAX_NAME_CHARACTERS
from ledger.jobs.job_entries import MAX_BYTES_PER_STEP
from ledger.ledger import Ledger

ChainName = Annotated[
    str, Parameter(min_length=1, max_length=MAX_NAME_CHARACTERS, description="Name of the chain, without '/'.")
]


class ChainReply(Struct, frozen=True, kw_only=True):
    """The receipts of the jobs of a chain, in their order."""

    receipts: list[Receipt[Any]]


@post(
    "/v1/chains/{name:str}",
    opt={"role": Role.PRODUCER},
    request_max_body_size=MAX_BYTES_PER_STEP + 1,
    status_code=201,
    sync_to_thread=True,
)
def submit_chain(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    name: ChainName,
    body: RawBody,
    correlation_id: CorrelationId = None,
    traceparent: TraceParent = None,
    tracestate: TraceState = None,
    durable: Durable = "false",
    not_before: NotBefore = None,
    after: After = None,
) -> Response[bytes]:
    """Submit jobs of which each is queued when the one before has succeeded: 201 if they are new, 200 if known."""
    require_json(request)
    try:
        parts = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise codec.job_refused(f"the body is a list of jobs: {error}") from error
    jobs = [codec.decode_job(bytes(part)) for part in parts]
    for job in jobs:
        check_kind(job, request.user)
    receipts = ledger.chains.submit(
        name,
        [codec.CheckedJob(job) for job in jobs],
        correlation_id=correlation(request, correlation_id),
        durable=durability(durable),
        caller=request.user.name,
        not_before=not_before,
        after=after,
        **trace_headers(traceparent, tracestate),
    )
    return json_response(ChainReply(receipts=receipts), 201 if any(receipt.created for receipt in receipts) else 200)


@get("/v1/chains/{name:str}", opt={"role": Role.READER}, sync_to_thread=True)
def get_chain(ledger: NamedDependency[Ledger], name: ChainName) -> Response[bytes]:
    """Return the state of a chain and of its jobs."""
    return json_response(ledger.chains.status(name))


@post("/v1/chains/{name:str}/cancel", opt={"role": Role.PRODUCER}, status_code=200, sync_to_thread=True)
def cancel_chain(ledger: NamedDependency[Ledger], name: ChainName) -> Response[bytes]:
    """End the jobs of a chain that have no outcome yet, and return its state."""
    return json_response(ledger.chains.cancel(name))


ROUTES = (submit_chain, get_chain, cancel_chain)
