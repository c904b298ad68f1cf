"""Controls as operators list and change them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from ledger.contracts.controls import CONTROLS, ControlValue, find_control, format_value, parse_value
from ledger.ledger import Ledger
from ledger.operations.control_store import ControlChange

MODEL = "model."
"""Prefix of the controls that are aliases of models."""


class ListedControl(Struct, frozen=True, kw_only=True):
    """A control that is set, by its full name, or one that is not, by its pattern such as `pause.QUEUE`.

    `set_by`, `why` and `changed_at` are of its last change, if it is set.
    """

    name: str
    value: str | None
    default: str | None
    unit: str
    meaning: str
    set_by: str | None = None
    why: str | None = None
    changed_at: datetime | None = None


def list_controls(ledger: Ledger) -> list[ListedControl]:
    """Return every control, and the aliases of models. Raises LedgerUnavailableError."""
    given = ledger.controls.current().values
    last = {change.name: change for change in ledger.controls.last_changes()}
    aliases = {f"{MODEL}{alias}": model["digest"] for model in ledger.models.all() for alias in model["aliases"]}
    listed = []
    for control in CONTROLS:
        values = {
            name: format_value(value) for name, value in (given | aliases).items() if find_control(name) == control
        }
        for name, text in values.items() or [(control.pattern, None)]:
            change = last.get(name)
            listed.append(
                ListedControl(
                    name=name,
                    value=text,
                    default=None if control.default is None else format_value(control.default),
                    unit=control.unit,
                    meaning=control.description,
                    set_by=None if change is None else change.who,
                    why=None if change is None else change.why,
                    changed_at=None if change is None else change.at,
                )
            )
    return listed


def read_value(ledger: Ledger, name: str, text: str) -> ControlValue | None:
    """Read the value of a control as it is typed; empty text is None, not set.

    A model may be named by an alias or the beginning of its digest. Raises JobRefusedError for an unknown name, and for
    a value that the control cannot have.
    """
    if not text:
        find_control(name)
        return None
    return parse_value(name, ledger.models.find(text)["digest"] if name.startswith(MODEL) else text)


def change_controls(
    ledger: Ledger,
    values: Mapping[str, ControlValue | None],
    *,
    user: str,
    reason: str,
    expected: Mapping[str, ControlValue | None] | None = None,
) -> list[ControlChange]:
    """Change controls, all or none, as `ControlStore.set`; a worker verifies each model first."""
    for name, value in values.items():
        if name.startswith(MODEL) and value is not None:
            ledger.verification.verify_model(str(value))
    return ledger.controls.set(values, user=user, reason=reason, expected=expected)
