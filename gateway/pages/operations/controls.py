"""The page of the live controls: their values, and forms that change them with a reason."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect, Response

from gateway.pages.forms import form_route
from gateway.pages.operations.fields import Fields, optional, reason_of, required
from gateway.pages.rendering import redirect, render
from gateway.security.caller import Caller, Role
from ledger.contracts.controls import COMPONENTS, CONTROLS
from ledger.contracts.jobs import QUEUES
from ledger.ledger import Ledger
from producer.operations.controls import MODEL, change_controls, list_controls, read_value

PATH = "/operations/controls"
SHOWN_CHANGES = 20


@get(PATH, opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_page(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return the page of the controls."""
    listed = [row for row in list_controls(ledger) if not row.name.startswith(MODEL)]
    return render(
        request,
        "operations/controls.html",
        section="operations",
        page="controls",
        given=[row for row in listed if row.value is not None],
        absent=[row for row in listed if row.value is None],
        names=_names(),
        queues=QUEUES,
        paused={row.name for row in listed if row.name.startswith("pause.") and row.value == "on"},
        changes=ledger.controls.changes(SHOWN_CHANGES),
    )


@post(PATH, sync_to_thread=True, **form_route(Role.OPERATOR))
def set_control(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], data: Fields) -> Redirect:
    """Set a control; with an empty value back to its default.

    `expected` is the value that the page has shown: if another operator has changed it meanwhile, nothing is changed.
    """
    name = required(data, "name")
    value = read_value(ledger, name, optional(data, "value") or "")
    expected = {name: read_value(ledger, name, str(data["expected"]))} if "expected" in data else {}
    change_controls(ledger, {name: value}, user=request.user.name, reason=reason_of(data), expected=expected)
    return redirect(PATH)


def _names() -> list[str]:
    """Return the full names of the controls that have a closed list of names."""
    scopes = {"QUEUE": QUEUES, "COMPONENT": COMPONENTS}
    names = []
    for control in CONTROLS:
        if not control.scope:
            names.append(control.name)
        names += [f"{control.name}.{scope}" for scope in scopes.get(control.scope, ())]
    return names


ROUTES = (get_page, set_control)
