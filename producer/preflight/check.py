"""Running a list of checks, each with a result: the core of `cornerman preflight`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from ledger.contracts.failures import LedgerError

Step = tuple[str, Callable[[], str]]
"""A check's name and function: it returns its findings as text with numbers, or raises CheckFailedError."""


class CheckFailed(Exception):
    """A check found a wrong value; the message has the value and the expected one."""


class Check(Struct, frozen=True, kw_only=True):
    """The result of one check."""

    name: str
    passed: bool
    detail: str
    seconds: float


def carry_out(steps: Iterable[Step], begin: Callable[[str], None]) -> list[Check]:
    """Run every check, also after a failure; call `begin` with the name of each before it starts."""
    return [_carry_out(name, work, begin) for name, work in steps]


def require(holds: bool, otherwise: str) -> None:
    """Raise CheckFailedError with the message `otherwise` unless `holds` is true."""
    if not holds:
        raise CheckFailed(otherwise)


def _carry_out(name: str, work: Callable[[], str], begin: Callable[[str], None]) -> Check:
    begin(name)
    started_seconds = time.monotonic()
    try:
        detail, passed = work(), True
    except (CheckFailed, LedgerError) as error:  # a job that fails unexpectedly also fails the check
        detail, passed = str(error), False
    return Check(name=name, passed=passed, detail=detail, seconds=round(time.monotonic() - started_seconds, 1))
