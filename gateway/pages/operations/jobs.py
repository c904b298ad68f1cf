"""Pages of jobs: a search, and one job's whole life with its buttons."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, Parameter, QueryParameter
from litestar.response import Redirect, Response

from gateway.pages.forms import form_route
from gateway.pages.rendering import Live, redirect, render
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ROUTES as KINDS
from ledger.jobs.job_index import STATES, JobQuery
from ledger.ledger import Ledger
from producer.client import existing_status
from producer.output.failure_text import REMEDIES
from producer.replays import replay_job

PATH = "/operations/jobs"
PAGE_JOBS = 50
REFRESH_SECONDS = 5
Word = Annotated[str, Parameter(max_length=200)]


@get(PATH, opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_jobs(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    job: Word = "",
    in_state: Annotated[str, QueryParameter(name="state", max_length=40)] = "",
    kind: Word = "",
    caller: Word = "",
    card: Word = "",
    since: Annotated[str, Parameter(max_length=40, description="A day or a moment in UTC.")] = "",
    until: Annotated[str, Parameter(max_length=40)] = "",
    cursor: Annotated[str, Parameter(max_length=300)] = "",
) -> Response[Any]:
    """Return the page of the jobs that match, newest first; with the id of a job, lead to its page."""
    if job.strip():
        return redirect(f"{PATH}/{quote(job.strip(), safe='')}")
    if in_state and in_state not in STATES:
        raise ProblemError(422, f"there is no state {in_state!r}: choose {', '.join(STATES)}")
    query = JobQuery(
        states=(JobState(in_state),) if in_state else (),
        kinds=(kind,) if kind else (),
        caller=caller or None,
        card_id=card or None,
        since=_moment("since", since),
        until=_moment("until", until),
    )
    found = ledger.job_index.page(query, limit=PAGE_JOBS, cursor=cursor or None)
    filters = {"state": in_state, "kind": kind, "caller": caller, "card": card, "since": since, "until": until}
    given = {name: value for name, value in filters.items() if value}
    return render(
        request,
        "operations/jobs.html",
        section="operations",
        page="jobs",
        live=None if cursor else Live(place="$", seconds=REFRESH_SECONDS, address=""),
        jobs=found.jobs,
        states=STATES,
        kinds=sorted(KINDS),
        filters=filters,
        first=f"{PATH}?{urlencode(given)}" if cursor else None,
        next=f"{PATH}?{urlencode({**given, 'cursor': found.cursor})}" if found.cursor else None,
    )


@get(f"{PATH}/{{job_id:str}}", opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_job(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], job_id: FromPath[str]
) -> Response[bytes]:
    """Return the page of one job: its state, attempts, outcome and provenance, and the job as it was submitted."""
    history = ledger.job_histories.get(job_id)
    record = ledger.job_records.get(job_id)
    failure = msgspec.json.decode(record.failure) if record.failure else None
    final = history.job.state.final
    return render(
        request,
        "operations/job.html",
        section="operations",
        page="jobs",
        live=None if final else Live(place="$", seconds=1, address=""),
        job=history.job,
        history=history,
        failure=failure,
        remedy=REMEDIES.get(str(failure.get("code"))) if failure else None,
        progress=ledger.status(job_id).progress,
        payload=_formatted(record.payload),
        report=_formatted(record.report),
        provenance="" if history.provenance is None else _formatted(msgspec.json.encode(history.provenance)),
        long=KINDS[history.job.kind].queue == "train" if history.job.kind in KINDS else True,
        seen_at=datetime.now(UTC),
    )


@post(f"{PATH}/{{job_id:str}}/cancel", sync_to_thread=True, **form_route(Role.OPERATOR))
def cancel_job(ledger: NamedDependency[Ledger], job_id: FromPath[str]) -> Redirect:
    """End a job that has no outcome yet. Raises LedgerError if it has ended as something else."""
    status = existing_status(ledger.cancel(job_id))
    if status.state is not JobState.CANCELLED:
        raise LedgerError(f"job {job_id} had already ended as {status.state}; its outcome stays")
    return redirect(f"{PATH}/{quote(job_id, safe='')}")


@post(f"{PATH}/{{job_id:str}}/replay", sync_to_thread=True, **form_route(Role.OPERATOR))
def replay(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], job_id: FromPath[str]) -> Redirect:
    """Submit a job that computes an outcome again and compares it, and lead to its page."""
    job = replay_job(ledger.status(job_id), retrain=False, nonce=uuid.uuid4().hex)
    receipt = ledger.submit(job, caller=request.user.name)
    return redirect(f"{PATH}/{quote(receipt.job_id, safe='')}")


def _moment(name: str, text: str) -> datetime | None:
    """Read a day or a moment; without a time zone it is UTC. Raises ProblemError (422)."""
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ProblemError(
            422, f"{name} is a day or a moment such as 2026-11-30 or 2026-11-30T18:00, not {text!r}"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _formatted(document: bytes | None) -> str:
    return "" if document is None else msgspec.json.format(document).decode()


ROUTES = (get_jobs, get_job, cancel_job, replay)
