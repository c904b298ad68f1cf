"""Comparison of two outcomes, as a pure function.

Outcomes are compared as JSON, field by field in the order of their names: numbers by value, everything else by
equality. A missing field is a difference, and so is a number in place of another type.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from ledger.contracts.replay_report import NUMBER_TOLERANCE, FieldDifference, ReplayVerdict

_MISSING = object()


class OutcomeDiff(Struct, frozen=True):
    """The verdict, the first difference of any size, and the largest difference of two numbers."""

    verdict: ReplayVerdict
    first_difference: FieldDifference | None = None
    largest_difference: float = 0.0


def compare_outcomes(original: bytes, recomputed: bytes) -> OutcomeDiff:
    """Compare two outcomes, both JSON."""
    first: FieldDifference | None = None
    largest = 0.0
    close = True
    for path, before, after in _pairs(msgspec.json.decode(original), msgspec.json.decode(recomputed), ""):
        texts = _to_json(before), _to_json(after)
        if texts[0] == texts[1]:  # two different numbers never have the same JSON text
            continue
        first = first or FieldDifference(field=path.lstrip("."), kept=texts[0], again=texts[1])
        if _is_number(before) and _is_number(after):
            difference = abs(before - after)
            largest = max(largest, difference)
            close = close and difference <= NUMBER_TOLERANCE * max(1.0, abs(before), abs(after))
        else:
            close = False
    if first is None:
        return OutcomeDiff("same")
    return OutcomeDiff("close" if close else "differs", first, largest)


def _pairs(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path and both values of each leaf on either side."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _pairs(before.get(name, _MISSING), after.get(name, _MISSING), f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            yield from _pairs(_at(before, index), _at(after, index), f"{path}[{index}]")
    else:
        yield path, before, after


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else _MISSING


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_json(value: Any) -> str | None:
    return None if value is _MISSING else msgspec.json.encode(value).decode()
