"""The page of every change that people and programs made: who, when, what, why, and on what evidence."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import Parameter
from litestar.response import Response

from gateway.pages.rendering import render
from gateway.security.caller import Caller, Role
from ledger.contracts.failures import JobRefusedError
from ledger.ledger import Ledger

SHOWN = (50, 200, 1000)


@get("/operations/audit", opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_audit(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    name: Annotated[str, Parameter(max_length=300)] = "",
    limit: Annotated[int, Parameter(ge=1, le=1000)] = SHOWN[0],
) -> Response[bytes]:
    """Return the page of the changes, newest first; `name` is a control, such as `model.champion`."""
    try:
        changes = ledger.controls.changes(limit, name or None)
    except JobRefusedError:
        changes = []
    return render(
        request,
        "operations/audit.html",
        section="operations",
        page="audit",
        name=name,
        limit=limit,
        limits=SHOWN,
        names=ledger.controls.changed_names(),
        changes=[
            (change, msgspec.json.format(msgspec.json.encode(change.evidence)).decode() if change.evidence else "")
            for change in changes
        ],
    )


ROUTES = (get_audit,)
