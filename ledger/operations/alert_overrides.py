"""An operator's overrides of the table of alerts: another threshold, another duration, or off.

    CORNERMAN_ALERTS="OldestJobWaits=120, HighUncertainty=0.5/600, TrainingWaits=off"

The number after the slash is the seconds for which the value has to breach the threshold; alerts that are computed from
the ledger do not wait. Pools evaluate the overridden table, `python -m workers.alerts.rules` writes it for Prometheus,
and `cornerman alerts` reads it: give all the same overrides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

from msgspec import structs

from ledger.operations.alert_table import ALERTS, AlertKind

VARIABLE = "CORNERMAN_ALERTS"
OFF = "off"

AlertT = TypeVar("AlertT", bound=AlertKind)


def apply_overrides(rules: Sequence[AlertT], overrides: str) -> tuple[AlertT, ...]:
    """Return the rows of the table with the overrides applied. Raises ValueError naming the override that is invalid.

    Overrides of other rows of the table are checked and change nothing.
    """
    given: dict[str, str] = {}
    for override in filter(None, map(str.strip, overrides.split(","))):
        name, _, text = (part.strip() for part in override.partition("="))
        if name not in ALERTS:
            raise _invalid(override, f"there is no alert {name!r}, only {', '.join(ALERTS)}")
        if name in given:
            raise _invalid(override, f"{name} is given twice")
        if text != OFF:
            _overridden(ALERTS[name], text)
        given[name] = text
    return tuple(_overridden(rule, given.get(rule.name)) for rule in rules if given.get(rule.name) != OFF)


def _overridden(rule: AlertT, text: str | None) -> AlertT:
    if text is None:
        return rule
    threshold, _, seconds = text.partition("/")
    changed = structs.replace(rule, threshold=_number(rule, text, threshold))
    return structs.replace(changed, for_seconds=_number(rule, text, seconds)) if seconds else changed


def _number(rule: AlertKind, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise _invalid(f"{rule.name}={text}", f"write a threshold, threshold/seconds, or {OFF}; numbers are at least 0")
    return value


def _invalid(override: str, reason: str) -> ValueError:
    return ValueError(f"{VARIABLE}: invalid override {override!r}: {reason}")
