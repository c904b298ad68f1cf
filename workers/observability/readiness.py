"""Liveness and readiness of a pool, as pure functions of its observed state."""

from __future__ import annotations

from msgspec import Struct

from ledger.contracts.reports import HealthCheck
from workers.pool.event_pipe import SelfTestResult

SUPERVISOR_TIMEOUT_SECONDS = 30.0
"""How long a tick of the supervisor may take: if the server is away, several replies time out, a few seconds each."""

MAX_PROBES_MISSED = 2
"""Consecutive liveness probes that may go unanswered before a pool counts as not consuming."""

MIN_SILENCE_SECONDS = 2.0
"""Minimum of the allowed silence, for probes in quick succession."""


class SupervisorTick(Struct, frozen=True):
    """The supervisor has finished a tick.

    `silent_seconds` is the time since the pool last showed that it consumes; None before the first sign.
    `server_reached` is True if the server answered. `idle`: the pool has no job.
    """

    silent_seconds: float | None
    server_reached: bool
    idle: bool = False


class PoolSnapshot(Struct, frozen=True, kw_only=True):
    """The observed state of a pool; None for what was not observed yet. Times are ages in seconds.

    `largest_child_mb` and `memory_limit_mb` (0: none) are of one child, `pool_mb` and `pool_limit_mb` of the whole
    pool.
    """

    tick_age_seconds: float | None = None
    server_reached: bool = False
    silent_seconds: float | None = None
    liveness_probe_seconds: float = 10.0
    predicts: bool = False
    self_test_age_seconds: float | None = None
    self_test: SelfTestResult | None = None
    children: int = 0
    largest_child_mb: float = 0.0
    memory_limit_mb: float = 0.0
    pool_mb: float = 0.0
    pool_limit_mb: float = float("inf")
    closing: bool = False


def liveness(snapshot: PoolSnapshot) -> list[HealthCheck]:
    """Return whether the process works: its supervisor ticks. A process manager restarts a pool that fails here."""
    if snapshot.tick_age_seconds is None:
        return [HealthCheck(name="guard", passed=False, detail="the supervisor has not run yet")]
    return [
        HealthCheck(
            name="guard",
            passed=snapshot.tick_age_seconds <= SUPERVISOR_TIMEOUT_SECONDS,
            detail=f"last tick {snapshot.tick_age_seconds:.1f} s ago, at most {SUPERVISOR_TIMEOUT_SECONDS:g} s",
        )
    ]


def readiness(snapshot: PoolSnapshot) -> list[HealthCheck]:
    """Return whether the pool would answer a job of its queue now, with the reason if not."""
    checks = [*liveness(snapshot), _consumption(snapshot), _memory(snapshot)]
    if snapshot.predicts:
        checks += _model(snapshot)
    return checks


def _consumption(snapshot: PoolSnapshot) -> HealthCheck:
    max_silence_seconds = max(MAX_PROBES_MISSED * snapshot.liveness_probe_seconds, MIN_SILENCE_SECONDS)
    if snapshot.closing:
        passed, detail = False, "the pool is closing"
    elif not snapshot.server_reached:
        passed, detail = False, "the server does not answer"
    elif snapshot.silent_seconds is None:
        passed, detail = False, "no liveness probe was answered yet"
    else:
        passed = snapshot.silent_seconds <= max_silence_seconds
        detail = f"last sign {snapshot.silent_seconds:.1f} s ago, at most {max_silence_seconds:g} s"
    return HealthCheck(name="consumption", passed=passed, detail=detail)


def _memory(snapshot: PoolSnapshot) -> HealthCheck:
    limit_mb = snapshot.memory_limit_mb or float("inf")
    passed = snapshot.largest_child_mb <= limit_mb and snapshot.pool_mb <= snapshot.pool_limit_mb
    detail = (
        f"pool {snapshot.pool_mb:.0f} MB of {snapshot.pool_limit_mb:.0f} MB, "
        f"largest of {snapshot.children} children {snapshot.largest_child_mb:.0f} MB of {limit_mb:.0f} MB"
    )
    return HealthCheck(name="memory", passed=passed, detail=detail)


def _model(snapshot: PoolSnapshot) -> list[HealthCheck]:
    if snapshot.self_test is None or snapshot.self_test_age_seconds is None:
        return [HealthCheck(name="model_loaded", passed=False, detail="no child has tested the model yet")]
    when = f", tested {snapshot.self_test_age_seconds:.0f} s ago"
    return [
        HealthCheck(name=check.name, passed=check.passed, detail=check.detail + when)
        for check in snapshot.self_test.checks
    ]
