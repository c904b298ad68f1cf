"""1 to 5,000 followers of a gateway's event stream, all of whom see every outcome: its memory and processor time."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gateway.followers import observe
from benchmarks.growth.steps import RESOLUTION_MB, RESOLUTION_MS, Step

SIZES = (1, 10, 100, 1_000, 5_000)
OUTCOMES = 1_000


def measure(sizes: Sequence[int] = SIZES) -> list[Step]:
    """Return the costs at each size."""
    steps = []
    for size in sizes:
        seen = observe(followers=size, outcomes=OUTCOMES)
        costs = {
            "memory of the gateway, MB": max(seen.grown_kb / 1024, RESOLUTION_MB),
            "processor of the gateway, ms": max(1e3 * seen.cpu_seconds, RESOLUTION_MS),
            "until the last has seen the last, ms": 1e3 * seen.seconds,
        }
        steps.append(Step(size, costs))
    return steps
