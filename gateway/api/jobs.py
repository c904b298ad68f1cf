"""Routes of jobs: submit, status, outcome, cancel, replay."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter, QueryParameter
from litestar.response import Response

from gateway.api.responses import (
    CorrelationId,
    Durable,
    IdempotencyKey,
    JobId,
    TraceParent,
    TraceState,
    correlation,
    created,
    durability,
    header_text,
    json_response,
    require_json,
    trace_headers,
)
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts import codec
from ledger.contracts.failures import WaitTimeoutError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import (
    MAX_PAYLOAD_BYTES,
    CheckHealth,
    Job,
    JobPart,
    PredictCard,
    Replay,
    ShadowCard,
    kind_of,
)
from ledger.jobs.job_index import MAX_PAGE_JOBS, JobQuery
from ledger.ledger import Ledger
from producer.async_client import AsyncClient
from producer.client import existing_status
from producer.replays import replay_job

PRODUCER_KINDS = (PredictCard, CheckHealth, Replay)
"""Jobs that a producer may submit; others need an operator."""
NotBefore = Annotated[
    datetime | None, Parameter(description="Wait until this time of the server's clock before it is queued.")
]
After = Annotated[
    str | None, Parameter(min_length=1, max_length=200, description="Id of a job that has to succeed first.")
]


@post("/v1/jobs", opt={"role": Role.PRODUCER}, request_max_body_size=MAX_PAYLOAD_BYTES + 1, status_code=201)
async def submit_job(
    request: Request[Caller, Any, Any],
    client: NamedDependency[AsyncClient],
    idempotency_key: IdempotencyKey = None,
    correlation_id: CorrelationId = None,
    traceparent: TraceParent = None,
    tracestate: TraceState = None,
    durable: Durable = "false",
    not_before: NotBefore = None,
    after: After = None,
    supersede: Annotated[bool, Parameter(description="The card replaces earlier jobs of the same card.")] = False,
    supersedes: Annotated[
        str | None, Parameter(max_length=200, description="Card, or id of a job, that it replaces, too.")
    ] = None,
) -> Response[bytes]:
    """Submit a job: 201 if it is new, 200 if the same job is known."""
    require_json(request)
    job = codec.decode_job(await request.body())
    check_kind(job, request.user)
    receipt = await client.enqueue(
        codec.CheckedJob(job),
        key=header_text(idempotency_key),
        correlation_id=correlation(request, correlation_id),
        durable=durability(durable),
        caller=request.user.name,
        not_before=not_before,
        after=after,
        supersede=supersede,
        supersedes=supersedes,
        **trace_headers(traceparent, tracestate),
    )
    return created(receipt)


@get("/v1/jobs", opt={"role": Role.READER}, sync_to_thread=True)
def list_jobs(
    ledger: NamedDependency[Ledger],
    job_state: Annotated[
        list[JobState] | None, QueryParameter(name="state", description="Only in these states.")
    ] = None,
    kind: Annotated[list[str] | None, Parameter(description="Only of these kinds.")] = None,
    caller: Annotated[str | None, Parameter(max_length=200, description="Only those of this caller.")] = None,
    card: Annotated[str | None, Parameter(max_length=200, description="Only those of this card.")] = None,
    since: Annotated[datetime | None, Parameter(description="Submitted at this time or later.")] = None,
    until: Annotated[datetime | None, Parameter(description="Submitted before this time.")] = None,
    internal: Annotated[bool, Parameter(description="Also those that workers submit for each other.")] = False,
    limit: Annotated[int, Parameter(ge=1, le=MAX_PAGE_JOBS)] = 50,
    cursor: Annotated[str | None, Parameter(max_length=300, description="`cursor` of the page before.")] = None,
) -> Response[bytes]:
    """Return a page of jobs, newest first."""
    query = JobQuery(
        states=tuple(job_state or ()),
        kinds=tuple(kind or ()),
        caller=caller,
        card_id=card,
        since=since,
        until=until,
        internal=internal,
    )
    return json_response(ledger.job_index.page(query, limit=limit, cursor=cursor))


@get("/v1/jobs/{job_id:str}", opt={"role": Role.READER})
async def get_job(client: NamedDependency[AsyncClient], job_id: JobId) -> Response[bytes]:
    """Return the state of a job."""
    return json_response(existing_status(await client.status(job_id)))


@get("/v1/jobs/{job_id:str}/outcome", opt={"role": Role.READER})
async def get_outcome(
    request: Request[Caller, Any, Any],
    client: NamedDependency[AsyncClient],
    job_id: JobId,
    wait: Annotated[float, Parameter(ge=0, le=3600, description="Seconds to wait for the outcome.")] = 0.0,
) -> Response[bytes]:
    """Return the outcome of a job; 202 and its state if it has none after `wait` seconds."""
    limit = min(wait, request.app.state.max_wait_seconds)
    if limit > 0:
        with suppress(WaitTimeoutError):
            return json_response(await client.ledger.wait_document(job_id, limit))
    elif (document := await client.ledger.outcome_document(job_id)) is not None:
        return json_response(document)
    status = existing_status(await client.status(job_id))
    if not status.state.final:
        return json_response(status, 202)
    return json_response(await client.ledger.outcome_document(job_id))  # it was settled in between


@get("/v1/jobs/{job_id:str}/history", opt={"role": Role.READER}, sync_to_thread=True)
def get_history(ledger: NamedDependency[Ledger], job_id: JobId) -> Response[bytes]:
    """Return the history of a job: its claims and how each ended, and the log lines about it."""
    return json_response(ledger.job_histories.get(job_id))


@post("/v1/jobs/{job_id:str}/cancel", opt={"role": Role.PRODUCER}, status_code=200)
async def cancel_job(client: NamedDependency[AsyncClient], job_id: JobId) -> Response[bytes]:
    """End a job that has no outcome yet, and return its state."""
    return json_response(existing_status(await client.cancel(job_id)))


@post("/v1/jobs/{job_id:str}/replay", opt={"role": Role.PRODUCER}, status_code=201)
async def submit_replay(
    request: Request[Caller, Any, Any],
    client: NamedDependency[AsyncClient],
    job_id: JobId,
    retrain: Annotated[bool, Parameter(description="Recompute a training or a backtest in full.")] = False,
    traceparent: TraceParent = None,
    tracestate: TraceState = None,
) -> Response[bytes]:
    """Submit a job that computes an outcome again and compares it with the stored one."""
    job = replay_job(await client.status(job_id), retrain=retrain, nonce=uuid.uuid4().hex)
    check_kind(job, request.user)
    trace = trace_headers(traceparent, tracestate)
    return created(
        await client.enqueue(job, correlation_id=correlation(request, None), caller=request.user.name, **trace)
    )


def check_kind(job: Job, caller: Caller) -> None:
    """Refuse jobs that only workers submit, and those that need a higher role. Raises ProblemError."""
    if isinstance(job, JobPart | ShadowCard):
        raise ProblemError(422, f"a {kind_of(job)} job is submitted by workers alone")
    if not isinstance(job, PRODUCER_KINDS) and not caller.may(Role.OPERATOR):
        raise ProblemError(403, f"a {kind_of(job)} job needs the role operator, {caller.name!r} is a producer")


ROUTES = (submit_job, list_jobs, get_job, get_outcome, get_history, cancel_job, submit_replay)
