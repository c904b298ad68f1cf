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


def compare_outcomes(kept: bytes, again: bytes) -> OutcomeDiff:
    """Compare two outcomes, both JSON."""
    first: FieldDifference | None = None
    largest = 0.0
    close = True
    for path, one, other in _pairs(msgspec.json.decode(kept), msgspec.json.decode(again), ""):
        texts = _written(one), _written(other)
        if texts[0] == texts[1]:  # two different numbers never have the same JSON text
            continue
        first = first or FieldDifference(field=path.lstrip("."), kept=texts[0], again=texts[1])
        if _is_number(one) and _is_number(other):
            apart = abs(one - other)
            largest = max(largest, apart)
            close = close and apart <= NUMBER_TOLERANCE * max(1.0, abs(one), abs(other))
        else:
            close = False
    if first is None:
        return OutcomeDiff("same")
    return OutcomeDiff("close" if close else "differs", first, largest)


def _pairs(one: Any, other: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path and both values of each leaf on either side."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            yield from _pairs(one.get(name, _MISSING), other.get(name, _MISSING), f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list):
        for index in range(max(len(one), len(other))):
            yield from _pairs(_at(one, index), _at(other, index), f"{path}[{index}]")
    else:
        yield path, one, other


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else _MISSING


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(value: Any) -> str | None:
    return None if value is _MISSING else msgspec.json.encode(value).decode()
