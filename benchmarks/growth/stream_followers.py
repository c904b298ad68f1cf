"""1 to 5,000 followers of a gateway's event stream, from coming to leaving: its memory and processor time."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gateway.followers import observe
from benchmarks.growth.steps import RESOLUTION_MB, RESOLUTION_MS, Step
from gateway.events.event_stream import HEARTBEAT_SECONDS

SIZES = (1, 10, 100, 1_000, 5_000)
OUTCOMES = 1_000
REST_SECONDS = HEARTBEAT_SECONDS + 5.0


def measure(sizes: Sequence[int] = SIZES) -> list[Step]:
    """Return the costs at each size."""
    steps = []
    for size in sizes:
        seen = observe(followers=size, outcomes=OUTCOMES, rest_seconds=REST_SECONDS)
        costs = {
            "memory of the gateway, MB": max(seen.grown_kb / 1024, RESOLUTION_MB),
            "accept them, ms": max(1e3 * seen.accepted, RESOLUTION_MS),
            f"send {OUTCOMES:,} outcomes to each, ms": max(1e3 * seen.sent, RESOLUTION_MS),
            f"keep them for {REST_SECONDS:g} s without an outcome, ms": max(1e3 * seen.rested, RESOLUTION_MS),
            "let them leave, ms": max(1e3 * seen.left, RESOLUTION_MS),
            "until the last has seen the last, ms of time": 1e3 * seen.seconds,
        }
        steps.append(Step(size, costs))
    return steps
