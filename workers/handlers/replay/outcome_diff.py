"""How far two outcomes agree, as a pure function of the two.

Outcomes are compared as they are written, field by field in the order of their names: numbers by their value, anything
else by equality. A number beside something that is none is a difference, and so is a missing field.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from ledger.contracts.replay_report import TOLERANCE, Difference, Verdict

_MISSING = object()


class Comparison(Struct, frozen=True):
    """What was found; `first` is the first difference of any size, `largest` the largest of two numbers."""

    verdict: Verdict
    first: Difference | None = None
    largest: float = 0.0


def compare(kept: bytes, again: bytes) -> Comparison:
    """Compare two outcomes, both JSON."""
    first: Difference | None = None
    largest = 0.0
    close = True
    for path, one, other in _pairs(msgspec.json.decode(kept), msgspec.json.decode(again), ""):
        texts = _written(one), _written(other)
        if texts[0] == texts[1]:  # numbers are written so that each has its own text
            continue
        first = first or Difference(field=path.lstrip("."), kept=texts[0], again=texts[1])
        if _is_number(one) and _is_number(other):
            apart = abs(one - other)
            largest = max(largest, apart)
            close = close and apart <= TOLERANCE * max(1.0, abs(one), abs(other))
        else:
            close = False
    if first is None:
        return Comparison("same")
    return Comparison("close" if close else "differs", first, largest)


def _pairs(one: Any, other: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield all leaves of either side with what stands in their place on the other."""
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
