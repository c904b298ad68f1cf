"""The page of dead letters, with buttons that requeue or purge many."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.response import Response

from gateway.pages.forms import form_route
from gateway.pages.operations.fields import Fields, chosen, optional
from gateway.pages.rendering import Live, render
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.jobs import ROUTES as KINDS
from ledger.jobs.dead_letters import DeadLetterQuery
from ledger.ledger import Ledger

PATH = "/operations/dead-letters"
SHOWN = 200
MAX_LETTERS = 1000
"""How many letters one form requeues or purges."""


@get(PATH, opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_page(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    kind: Annotated[str, Parameter(max_length=40)] = "",
) -> Response[bytes]:
    """Return the page of the dead letters, of all kinds or of one."""
    letters = list(islice(ledger.dead_letters.select(_query(kind)), SHOWN + 1))
    return render(
        request,
        "operations/dead_letters.html",
        section="operations",
        page="dead-letters",
        live=Live(place="$", seconds=10, address=""),
        letters=letters[:SHOWN],
        more=len(letters) > SHOWN,
        kind=kind,
        kinds=sorted(KINDS),
        total=ledger.queue_stats.backlog().dead_letters,
        most=MAX_LETTERS,
    )


@post(PATH, sync_to_thread=True, status_code=200, **form_route(Role.OPERATOR))
def change_letters(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], data: Fields
) -> Response[bytes]:
    """Requeue or purge the chosen dead letters, or all of a kind, and return a page with what became of each.

    Both are safe to repeat, so a page that is loaded again changes nothing more.
    """
    action = optional(data, "action") or ""
    verb, _, which = action.partition(" ")
    if verb not in ("requeue", "purge") or which not in ("chosen", "all"):
        raise ProblemError(422, "choose one of the buttons")
    if which == "all":
        letters = ledger.dead_letters.select(_query(optional(data, "kind") or ""))
        job_ids = [letter.job_id for letter in islice(letters, MAX_LETTERS)]
    else:
        job_ids = chosen(data, "job_id")
    if not job_ids:
        raise ProblemError(422, "no dead letter is chosen: nothing was changed")
    return render(
        request,
        "operations/dead_letters_changed.html",
        section="operations",
        page="dead-letters",
        verb=verb,
        requeued=ledger.dead_letters.requeue_many(job_ids) if verb == "requeue" else [],
        purged=ledger.dead_letters.purge_many(job_ids) if verb == "purge" else [],
    )


def _query(kind: str) -> DeadLetterQuery:
    return DeadLetterQuery(kinds=(kind,) if kind else ())


ROUTES = (get_page, change_letters)
