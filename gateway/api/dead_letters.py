"""Routes of dead letters: list, show, requeue and purge in bulk."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter, RawBody
from litestar.response import Response
from msgspec import Meta, Struct

from gateway.api.operations import Limit, read_body
from gateway.api.responses import JobId, json_response
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.jobs.dead_letters import DeadLetterQuery
from ledger.ledger import Ledger

MAX_LETTERS = 1000
"""How many letters one request requeues or purges."""
MAX_BODY_BYTES = 512 * 1024


LetterId = Annotated[str, Meta(min_length=1, max_length=200)]


class LetterSelection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dead letters to act on: by id; or all, of some kinds, or that died before a time, at most 1,000 at once."""

    job_ids: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=MAX_LETTERS)
    ] = ()
    all: bool = False
    kinds: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    died_before: datetime | None = None


@get("/v1/dead-letters", opt={"role": Role.READER}, sync_to_thread=True)
def list_dead_letters(
    ledger: NamedDependency[Ledger],
    kind: Annotated[list[str] | None, Parameter(description="Only this kind of job. Repeatable.")] = None,
    died_before: Annotated[datetime | None, Parameter(description="Only jobs that died before this time.")] = None,
    limit: Limit = 100,
) -> Response[bytes]:
    """Return dead letters, newest first."""
    query = DeadLetterQuery(kinds=tuple(kind or ()), died_before=died_before)
    return json_response({"dead": list(islice(ledger.dead_letters.select(query), limit))})


@get("/v1/dead-letters/{job_id:str}", opt={"role": Role.READER}, sync_to_thread=True)
def get_dead_letter(ledger: NamedDependency[Ledger], job_id: JobId) -> Response[bytes]:
    """Return a dead letter and its job."""
    return json_response({"dead": ledger.dead_letters.get(job_id), "job": ledger.job_records.job(job_id)})


@post(
    "/v1/dead-letters/requeue",
    opt={"role": Role.OPERATOR},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def requeue_dead_letters(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], body: RawBody
) -> Response[bytes]:
    """Submit dead jobs again, each as a new job, and return what became of each.

    A job that is refused, for example because its deadline has passed, stays and does not stop the others.
    """
    chosen = _selected(ledger, read_body(request, body, LetterSelection))
    return json_response({"requeued": ledger.dead_letters.requeue_many(chosen)})


@post(
    "/v1/dead-letters/purge",
    opt={"role": Role.OPERATOR},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def purge_dead_letters(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], body: RawBody
) -> Response[bytes]:
    """Remove dead letters from the list, and return for each whether there was one; outcomes stay readable."""
    chosen = _selected(ledger, read_body(request, body, LetterSelection))
    return json_response({"purged": ledger.dead_letters.purge_many(chosen)})


def _selected(ledger: Ledger, wish: LetterSelection) -> list[str]:
    """Return the ids of a selection. Raises ProblemError (422) unless it names jobs, or says which ones."""
    by_filter = wish.all or bool(wish.kinds) or wish.died_before is not None
    if bool(wish.job_ids) == by_filter:
        raise ProblemError(422, "name the jobs in job_ids, or select them by all, kinds or died_before")
    if wish.job_ids:
        return list(wish.job_ids)
    query = DeadLetterQuery(kinds=wish.kinds, died_before=wish.died_before)
    return [letter.job_id for letter in islice(ledger.dead_letters.select(query), MAX_LETTERS)]


ROUTES = (list_dead_letters, get_dead_letter, requeue_dead_letters, purge_dead_letters)
