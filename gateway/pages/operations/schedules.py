"""The page of the schedules: next and last runs, and forms that put, pause, resume, run and remove them."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect, Response
from msgspec import Struct

from gateway.pages.forms import form_route
from gateway.pages.operations.fields import Fields, optional, reason_of, required
from gateway.pages.rendering import Live, redirect, render
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.codec import job_refused
from ledger.contracts.jobs import kind_of
from ledger.contracts.schedules import ScheduleRun, ScheduleStatus
from ledger.ledger import Ledger
from ledger.schedules.schedule_checks import decode_schedule
from producer.output.schedule_tables import state_text

PATH = "/operations/schedules"
REFRESH_SECONDS = 10
SHOWN_RUNS = 5
SHOWN_CHANGES = 20


class ShownSchedule(Struct, frozen=True):
    """A schedule as the page shows it. `state` is empty if nothing is unusual; `definition` is JSON."""

    status: ScheduleStatus
    state: str
    kinds: str
    runs: list[ScheduleRun]
    definition: str


@get(PATH, opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_page(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return the page of the schedules."""
    return render(
        request,
        "operations/schedules.html",
        section="operations",
        page="schedules",
        live=Live(place="$", seconds=REFRESH_SECONDS, address=""),
        schedules=[_shown(ledger, status) for status in ledger.schedules.list()],
        changes=ledger.schedules.changes(SHOWN_CHANGES),
    )


@post(PATH, sync_to_thread=True, **form_route(Role.OPERATOR))
def put_schedule(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], data: Fields) -> Redirect:
    """Create a schedule, or replace the one of this name."""
    given: dict[str, Any] = {"name": required(data, "name"), "cron": required(data, "cron")}
    try:
        jobs = msgspec.json.decode(required(data, "jobs").encode())
    except msgspec.DecodeError as error:
        raise job_refused(f"the jobs are no JSON: {error}") from None
    given["jobs"] = jobs if isinstance(jobs, list) else [jobs]
    for name in ("zone", "catch_up"):
        if (text := optional(data, name)) is not None:
            given[name] = text
    schedule = decode_schedule(msgspec.json.encode(given))
    ledger.schedules.put(schedule, user=request.user.name, reason=reason_of(data))
    return redirect(PATH)


@post(f"{PATH}/change", sync_to_thread=True, **form_route(Role.OPERATOR))
def change_schedule(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], data: Fields) -> Redirect:
    """Pause, resume, run or remove a schedule."""
    name, user, reason = required(data, "name"), request.user.name, reason_of(data)
    match required(data, "action"):
        case "pause":
            ledger.schedules.pause(name, user=user, reason=reason)
        case "resume":
            ledger.schedules.resume(name, user=user, reason=reason)
        case "run":
            ledger.schedules.run_now(name, user=user, reason=reason)
        case "remove":
            ledger.schedules.remove(name, user=user, reason=reason)
        case _:
            raise ProblemError(422, "choose one of the buttons")
    return redirect(PATH)


def _shown(ledger: Ledger, status: ScheduleStatus) -> ShownSchedule:
    schedule = status.schedule
    return ShownSchedule(
        status,
        state_text(status),
        ", then ".join(kind_of(job) for job in schedule.jobs),
        [*ledger.schedules.history(schedule.name, SHOWN_RUNS)],
        msgspec.json.format(msgspec.json.encode(schedule)).decode(),
    )


ROUTES = (get_page, put_schedule, change_schedule)
