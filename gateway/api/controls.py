"""Routes of the live controls: list, history, set, and back to the default."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromQuery, Parameter, RawBody
from litestar.response import Response
from msgspec import UNSET, Struct, UnsetType

from gateway.api.operations import MAX_BODY_BYTES, Limit, Reason, read_body
from gateway.api.responses import json_response
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.controls import ControlValue, find_control, format_value
from ledger.contracts.failures import JobRefusedError
from ledger.ledger import Ledger
from ledger.operations.control_store import ControlChange
from producer.operations.controls import change_controls, list_controls, read_value

ControlName = Annotated[str, Parameter(min_length=1, max_length=300, description="Full name, such as `pause.predict`.")]


class ControlRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value for a control: as it is typed, or a JSON boolean or number.

    With `expected` nothing is changed unless the control has this value (null: not set) at that time.
    """

    value: bool | int | str
    reason: Reason
    expected: bool | int | str | UnsetType | None = UNSET


@get("/v1/controls", opt={"role": Role.READER}, sync_to_thread=True)
def get_controls(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return every control with its value, default, unit and meaning, and who has set it and why."""
    return json_response({"controls": list_controls(ledger)})


@get("/v1/controls/changes", opt={"role": Role.READER}, sync_to_thread=True)
def list_changes(
    ledger: NamedDependency[Ledger], limit: Limit = 100, name: FromQuery[str | None] = None
) -> Response[bytes]:
    """Return the last changes, of all controls or of one, newest first."""
    if name is not None:
        _known(name)
    return json_response({"changes": ledger.controls.changes(limit, name)})


@put(
    "/v1/controls/{name:str}",
    opt={"role": Role.OPERATOR},
    request_max_body_size=MAX_BODY_BYTES,
    sync_to_thread=True,
)
def set_control(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: ControlName, body: RawBody
) -> Response[bytes]:
    """Set a control, with a reason; 409 if it does not have the expected value."""
    wish = read_body(request, body, ControlRequest)
    _known(name)
    if wish.value == "":
        raise ProblemError(422, f"the value of {name} is empty: DELETE resets it to its default")
    expected = {} if wish.expected is UNSET else {name: _value(ledger, name, wish.expected)}
    value = _value(ledger, name, wish.value)
    changes = change_controls(ledger, {name: value}, user=request.user.name, reason=wish.reason, expected=expected)
    return _changed(changes)


@delete("/v1/controls/{name:str}", opt={"role": Role.OPERATOR}, status_code=200, sync_to_thread=True)
def unset_control(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    name: ControlName,
    reason: Annotated[str, Parameter(min_length=1, max_length=1000, description="Why, for the history.")],
    expected: Annotated[str | None, Parameter(description="Nothing is changed unless the control has it.")] = None,
) -> Response[bytes]:
    """Reset a control to its default, with a reason; 409 if it does not have the expected value."""
    _known(name)
    compared = {} if expected is None else {name: read_value(ledger, name, expected)}
    return _changed(change_controls(ledger, {name: None}, user=request.user.name, reason=reason, expected=compared))


def _known(name: str) -> None:
    """Refuse a name that no control has. Raises ProblemError (404)."""
    try:
        find_control(name)
    except JobRefusedError as error:
        raise ProblemError(404, error.failure.message, code=error.failure.code) from None


def _value(ledger: Ledger, name: str, given: bool | int | str | None) -> ControlValue | None:
    return read_value(ledger, name, "" if given is None else format_value(given))


def _changed(changes: list[ControlChange]) -> Response[bytes]:
    return json_response({"changes": changes})


ROUTES = (get_controls, list_changes, set_control, unset_control)
