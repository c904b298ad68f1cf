"""An operator's overrides of the table of alerts: another threshold, another duration, or off.

    CORNERMAN_ALERTS="OldestJobWaits=120, HighUncertainty=0.5/600, TrainingWaits=off"

The number after the slash is the seconds for which the value has to breach the threshold. Pools evaluate the overridden
table, and `python -m workers.alerts.rules` writes it for Prometheus: give both the same overrides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import structs

from workers.alerts.evaluation import AlertRule

OFF = "off"


def apply_overrides(rules: Sequence[AlertRule], overrides: str) -> tuple[AlertRule, ...]:
    """Return the table with the overrides applied. Raises ValueError naming the override that is invalid."""
    given: dict[str, str] = {}
    for override in filter(None, map(str.strip, overrides.split(","))):
        name, _, text = (part.strip() for part in override.partition("="))
        if name not in {rule.name for rule in rules}:
            raise _invalid(override, f"there is no alert {name!r}, only {', '.join(rule.name for rule in rules)}")
        if name in given:
            raise _invalid(override, f"{name} is given twice")
        given[name] = text
    return tuple(_overridden(rule, given.get(rule.name)) for rule in rules if given.get(rule.name) != OFF)


def _overridden(rule: AlertRule, text: str | None) -> AlertRule:
    if text is None:
        return rule
    threshold, _, seconds = text.partition("/")
    changed = structs.replace(rule, threshold=_number(rule, text, threshold))
    return structs.replace(changed, for_seconds=_number(rule, text, seconds)) if seconds else changed


def _number(rule: AlertRule, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise _invalid(f"{rule.name}={text}", f"write a threshold, threshold/seconds, or {OFF}; numbers are at least 0")
    return value


def _invalid(override: str, reason: str) -> ValueError:
    return ValueError(f"CORNERMAN_ALERTS: invalid override {override!r}: {reason}")
