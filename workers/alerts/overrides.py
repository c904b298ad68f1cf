"""An operator's changes of the table of alerts: another threshold, another patience, or silence.

    CORNERMAN_ALERTS="OldestJobWaits=120, HighUncertainty=0.5/600, TrainingWaits=off"

The number after the slash is for how many seconds the value has to be beyond the threshold. Pools judge by the table as
changed, and `python -m workers.alerts.rules` writes it for Prometheus: give both the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import structs

from workers.alerts.evaluation import Rule

OFF = "off"


def tuned(rules: Sequence[Rule], changes: str) -> tuple[Rule, ...]:
    """Return the table with the changes made. Raises ValueError naming what cannot be read."""
    given: dict[str, str] = {}
    for change in filter(None, map(str.strip, changes.split(","))):
        name, _, text = (part.strip() for part in change.partition("="))
        if name not in {rule.name for rule in rules}:
            raise _refused(change, f"no alert is called {name!r}; there are {', '.join(rule.name for rule in rules)}")
        if name in given:
            raise _refused(change, f"{name} is changed twice")
        given[name] = text
    return tuple(_changed(rule, given.get(rule.name)) for rule in rules if given.get(rule.name) != OFF)


def _changed(rule: Rule, text: str | None) -> Rule:
    if text is None:
        return rule
    threshold, _, seconds = text.partition("/")
    changed = structs.replace(rule, threshold=_number(rule, text, threshold))
    return structs.replace(changed, for_seconds=_number(rule, text, seconds)) if seconds else changed


def _number(rule: Rule, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise _refused(f"{rule.name}={text}", f"write a threshold, threshold/seconds, or {OFF}, of numbers from 0")
    return value


def _refused(change: str, reason: str) -> ValueError:
    return ValueError(f"CORNERMAN_ALERTS: {change!r} changes no alert: {reason}")
