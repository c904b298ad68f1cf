"""A list of checks, each carried out and told of: what `cornerman preflight` is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from ledger.contracts.failures import LedgerError

Step = tuple[str, Callable[[], str]]
"""A check's name, and what carries it out: it returns what was found, in words with figures, or raises CheckFailed."""


class CheckFailed(Exception):
    """What was found is not what it must be; the message says both."""


class Check(Struct, frozen=True, kw_only=True):
    """How one check ended."""

    name: str
    passed: bool
    detail: str
    seconds: float


def carry_out(steps: Iterable[Step], begin: Callable[[str], None]) -> list[Check]:
    """Carry out every step, also after one that fails, and say `begin` its name before."""
    return [_carry_out(name, work, begin) for name, work in steps]


def require(holds: bool, otherwise: str) -> None:
    """Raise CheckFailed unless it holds."""
    if not holds:
        raise CheckFailed(otherwise)


def _carry_out(name: str, work: Callable[[], str], begin: Callable[[str], None]) -> Check:
    begin(name)
    started_seconds = time.monotonic()
    try:
        detail, passed = work(), True
    except (CheckFailed, LedgerError) as error:  # a job that fails where it must not is a finding, too
        detail, passed = str(error), False
    return Check(name=name, passed=passed, detail=detail, seconds=round(time.monotonic() - started_seconds, 1))
