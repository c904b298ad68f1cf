"""Routes of schedules: list, show, put, remove, pause, resume, run now, runs and changes."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromQuery, Parameter, RawBody
from litestar.response import Response
from msgspec import Meta, Raw, Struct

from gateway.api.operations import MAX_BODY_BYTES, Limit, Reason, read_body
from gateway.api.responses import json_response
from gateway.security.caller import Caller, Role
from ledger.contracts.jobs import MAX_PAYLOAD_BYTES
from ledger.contracts.schedules import Schedule
from ledger.ledger import Ledger
from ledger.schedules.schedule_checks import decode_schedule

ScheduleName = Annotated[str, Parameter(min_length=1, max_length=64, description="Name of the schedule.")]
_READER, _OPERATOR = {"role": Role.READER}, {"role": Role.OPERATOR}


class ScheduleRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to put, whose `name` may be left out.

    With `expected_revision` nothing is changed unless the schedule has that revision, 0: there is none.
    """

    schedule: Schedule
    reason: Reason
    expected_revision: Annotated[int, Meta(ge=0)] | None = None


class _RawRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schedule: Raw
    reason: Reason
    expected_revision: Annotated[int, Meta(ge=0)] | None = None


class ScheduleChangeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a schedule, or a run by hand."""

    reason: Reason


@get("/v1/schedules", opt=_READER, sync_to_thread=True)
def list_schedules(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return all schedules with their next and last run."""
    return json_response({"schedules": ledger.schedules.list()})


@get("/v1/schedules/changes", opt=_READER, sync_to_thread=True)
def list_changes(
    ledger: NamedDependency[Ledger], limit: Limit = 100, name: FromQuery[str | None] = None
) -> Response[bytes]:
    """Return who changed what, newest first."""
    return json_response({"changes": ledger.schedules.changes(limit, name)})


@get("/v1/schedules/{name:str}", opt=_READER, sync_to_thread=True)
def get_schedule(ledger: NamedDependency[Ledger], name: ScheduleName) -> Response[bytes]:
    """Return a schedule with its next and last run."""
    return json_response(ledger.schedules.get(name))


@get("/v1/schedules/{name:str}/runs", opt=_READER, sync_to_thread=True)
def list_runs(ledger: NamedDependency[Ledger], name: ScheduleName, limit: Limit = 100) -> Response[bytes]:
    """Return the runs of a schedule and how they ended, newest first."""
    return json_response({"runs": ledger.schedules.history(name, limit)})


@put(
    "/v1/schedules/{name:str}",
    opt=_OPERATOR,
    request_max_body_size=MAX_PAYLOAD_BYTES + MAX_BODY_BYTES,
    sync_to_thread=True,
)
def put_schedule(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: ScheduleName, body: RawBody
) -> Response[bytes]:
    """Create a schedule or replace the one of this name; 409 if it does not have the expected revision."""
    wish = read_body(request, body, _RawRequest)
    schedule = decode_schedule(bytes(wish.schedule), name)
    return json_response(
        ledger.schedules.put(
            schedule, user=request.user.name, reason=wish.reason, expected_revision=wish.expected_revision
        )
    )


@delete("/v1/schedules/{name:str}", opt=_OPERATOR, status_code=204, sync_to_thread=True)
def remove_schedule(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    name: ScheduleName,
    reason: Annotated[str, Parameter(min_length=1, max_length=1000, description="Why, for the history.")],
    expected_revision: Annotated[int | None, Parameter(ge=1, description="Revision that it must have.")] = None,
) -> None:
    """Remove a schedule with its history. Jobs that were submitted go on."""
    ledger.schedules.remove(name, user=request.user.name, reason=reason, expected_revision=expected_revision)


@post(
    "/v1/schedules/{name:str}/pause",
    opt=_OPERATOR,
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def pause_schedule(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: ScheduleName, body: RawBody
) -> Response[bytes]:
    """Pause a schedule: slots that pass meanwhile are not submitted later."""
    wish = read_body(request, body, ScheduleChangeRequest)
    return json_response(ledger.schedules.pause(name, user=request.user.name, reason=wish.reason))


@post(
    "/v1/schedules/{name:str}/resume",
    opt=_OPERATOR,
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def resume_schedule(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: ScheduleName, body: RawBody
) -> Response[bytes]:
    """Resume a schedule that is paused, with its next slot."""
    wish = read_body(request, body, ScheduleChangeRequest)
    return json_response(ledger.schedules.resume(name, user=request.user.name, reason=wish.reason))


@post(
    "/v1/schedules/{name:str}/run",
    opt=_OPERATOR,
    request_max_body_size=MAX_BODY_BYTES,
    status_code=202,
    sync_to_thread=True,
)
def run_schedule(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: ScheduleName, body: RawBody
) -> Response[bytes]:
    """Submit the jobs of a schedule now, besides its slots, also if it is paused."""
    wish = read_body(request, body, ScheduleChangeRequest)
    return json_response(ledger.schedules.run_now(name, user=request.user.name, reason=wish.reason), 202)


ROUTES = (
    list_schedules,
    list_changes,
    get_schedule,
    list_runs,
    put_schedule,
    remove_schedule,
    pause_schedule,
    resume_schedule,
    run_schedule,
)
