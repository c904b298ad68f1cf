"""Whether a pool lives and whether it is ready, as pure functions of what was last seen of it."""

from __future__ import annotations

from msgspec import Struct

from ledger.contracts.reports import HealthCheck
from workers.pool.event_pipe import SelfTest

GUARD_PATIENCE_SECONDS = 30.0
"""How long the guard may take for a look: it waits for replies of a server that is away, a few seconds each."""

CANARIES_MISSED = 3
"""So many of the watchdog's questions in a row may go unanswered before a pool counts as not consuming."""

LEAST_SILENCE_SECONDS = 2.0
"""At least so long a pool may be silent, also where questions are asked in quick succession."""


class Sight(Struct, frozen=True, kw_only=True):
    """What was last seen of a pool; None where nothing was. Times are how long ago it was, in seconds.

    `largest_child_mb` and `memory_limit_mb` (0: none) are of one child, `pool_mb` and `pool_limit_mb` of the pool.
    """

    looked_seconds: float | None = None
    reached: bool = False
    silent_seconds: float | None = None
    canary_seconds: float = 5.0
    predicts: bool = False
    tested_seconds: float | None = None
    self_test: SelfTest | None = None
    children: int = 0
    largest_child_mb: float = 0.0
    memory_limit_mb: float = 0.0
    pool_mb: float = 0.0
    pool_limit_mb: float = float("inf")
    closing: bool = False


def liveness(sight: Sight) -> list[HealthCheck]:
    """Return whether the process does its work: its guard looks. A supervisor starts again what fails here."""
    if sight.looked_seconds is None:
        return [HealthCheck(name="guard", passed=False, detail="the guard has not looked yet")]
    return [
        HealthCheck(
            name="guard",
            passed=sight.looked_seconds <= GUARD_PATIENCE_SECONDS,
            detail=f"looked {sight.looked_seconds:.1f} s ago, at most {GUARD_PATIENCE_SECONDS:g} s",
        )
    ]


def readiness(sight: Sight) -> list[HealthCheck]:
    """Return whether the pool would answer a job of its queue now, and if not, why."""
    checks = [*liveness(sight), _consumption(sight), _memory(sight)]
    if sight.predicts:
        checks += _model(sight)
    return checks


def _consumption(sight: Sight) -> HealthCheck:
    most_seconds = max(CANARIES_MISSED * sight.canary_seconds, LEAST_SILENCE_SECONDS)
    if sight.closing:
        passed, detail = False, "the pool is closing"
    elif not sight.reached:
        passed, detail = False, "the server does not answer"
    elif sight.silent_seconds is None:
        passed, detail = False, "no canary was answered yet"
    else:
        passed = sight.silent_seconds <= most_seconds
        detail = f"last sign {sight.silent_seconds:.1f} s ago, at most {most_seconds:g} s"
    return HealthCheck(name="consumption", passed=passed, detail=detail)


def _memory(sight: Sight) -> HealthCheck:
    limit_mb = sight.memory_limit_mb or float("inf")
    passed = sight.largest_child_mb <= limit_mb and sight.pool_mb <= sight.pool_limit_mb
    detail = (
        f"pool {sight.pool_mb:.0f} MB of {sight.pool_limit_mb:.0f} MB, "
        f"largest of {sight.children} children {sight.largest_child_mb:.0f} MB of {limit_mb:.0f} MB"
    )
    return HealthCheck(name="memory", passed=passed, detail=detail)


def _model(sight: Sight) -> list[HealthCheck]:
    if sight.self_test is None or sight.tested_seconds is None:
        return [HealthCheck(name="model_loaded", passed=False, detail="no child has tested the model yet")]
    when = f", tested {sight.tested_seconds:.0f} s ago"
    return [
        HealthCheck(name=check.name, passed=check.passed, detail=check.detail + when)
        for check in sight.self_test.checks
    ]
