"""The number of jobs that a child claims at once, as a pure function.

A claim and a settlement are a round trip and a script each, which many small jobs can share. But no other child can run
what this child holds: so a batch takes a few milliseconds at most, and leaves other children their part.
"""

from __future__ import annotations

from msgspec import Struct

BATCH_SECONDS = 0.02
"""How long a batch may take, and a finished job wait in it: the delay of an urgent job that arrives meanwhile."""


class BatchTiming(Struct, frozen=True):
    """A completed batch: its number of jobs, its duration, and the number of jobs left in the queue."""

    jobs: int
    seconds: float
    waiting: int


def next_batch_size(last: BatchTiming | None, max_size: int) -> int:
    """Return how many jobs to claim next, from 1 to `max_size`.

    The first batch is one job, so that jobs submitted together are shared among the children; then at most four times
    the last batch, as many as take `BATCH_SECONDS` at the last pace, and half of the jobs that waited.
    """
    if last is None or not last.jobs:
        return 1
    in_time = last.jobs * BATCH_SECONDS / max(last.seconds, 1e-6)
    return max(1, min(max_size, 4 * last.jobs, int(in_time), last.waiting // 2))
