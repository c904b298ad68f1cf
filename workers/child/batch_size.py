"""How many jobs a child claims at once, as a pure function.

A claim and a settle are a round trip and a script each, which many small jobs can share. But what a child holds, no
other child can run: so a batch is no longer than can be worked off in a moment, and leaves the others their part.
"""

from __future__ import annotations

from msgspec import Struct

BATCH_SECONDS = 0.02
"""How long a batch may take, and a finished job wait in it: an urgent job that comes meanwhile waits as long."""


class Worked(Struct, frozen=True):
    """A batch that was worked off: how many jobs, how long it took, and how many stayed in the queue behind it."""

    jobs: int
    seconds: float
    waiting: int


def claim_size(last: Worked | None, most: int) -> int:
    """Return how many jobs to claim next, from 1 to `most`.

    One at first, so that what came together is shared among the children; then at most twice as many as last time, as
    many as take `BATCH_SECONDS` at the last pace, and half of what waited.
    """
    if last is None or not last.jobs:
        return 1
    in_time = last.jobs * BATCH_SECONDS / max(last.seconds, 1e-6)
    return max(1, min(most, 2 * last.jobs, int(in_time), last.waiting // 2))
