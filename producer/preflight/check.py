"""Running a list of checks, each with a result: the core of `cornerman preflight`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from ledger.contracts.failures import LedgerError

CheckStep = tuple[str, Callable[[], str]]
"""A check's name and function: it returns its findings as text with numbers, or raises CheckFailedError."""


class CheckFailedError(Exception):
    """A check found a wrong value; the message has the value and the expected one."""


class CheckResult(Struct, frozen=True, kw_only=True):
    """The result of one check."""

    name: str
    passed: bool
    detail: str
    seconds: float


def run_checks(steps: Iterable[CheckStep], begin: Callable[[str], None]) -> list[CheckResult]:
    """Run every check, also after a failure; call `begin` with the name of each before it starts."""
    return [_carry_out(name, work, begin) for name, work in steps]


def expect(holds: bool, otherwise: str) -> None:
    """Raise CheckFailedError with the message `otherwise` unless `holds` is true."""
    if not holds:
        raise CheckFailedError(otherwise)


def _carry_out(name: str, work: Callable[[], str], begin: Callable[[str], None]) -> CheckResult:
    begin(name)
    started_seconds = time.monotonic()
    try:
        detail, passed = work(), True
    except (CheckFailedError, LedgerError) as error:  # a job that fails unexpectedly also fails the check
        detail, passed = str(error), False
    return CheckResult(name=name, passed=passed, detail=detail, seconds=round(time.monotonic() - started_seconds, 1))
