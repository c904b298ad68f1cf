"""The scaling policy: the number of children of a pool, as a pure function of what its supervisor observes.

Memory comes first: no more children than could all run jobs at once below the limit. Within that bound, a lasting
backlog makes the pool grow, at most doubling at each step, so that the memory of the new children is measured before
the next step; a lasting surplus makes the pool shrink, one child at a time. Only idle children are retired.

Against oscillation, growth needs a tenth of the limit free and some seconds since memory was last short, and a surplus
has to last. Measurements and clocks are in `workers.supervisor.memory_budget`, the effects in
`workers.broker.autoscaler`.
"""

from __future__ import annotations

import math

from msgspec import Struct, structs

GROW_AFTER_SECONDS = 0.5
"""How long a job must have waited for the pool to grow: shorter waits need no second child."""
STEP_SECONDS = 1.0
"""Time between two steps of growth or of shrinking, so that measurements include the last one."""
RECOVER_SECONDS = 5.0
"""How long the pool does not grow after memory was short."""
SHRINK_AFTER_SECONDS = 30.0
"""How long children must have been surplus before the first of them is retired."""
GROWTH_MARGIN = 0.1
"""Fraction of the limit that growth leaves free."""

_NEVER = -float("inf")


class PoolLoad(Struct, frozen=True, kw_only=True):
    """The load of a pool at one moment, in MiB and seconds.

    Attributes
    ----------
    children
        The last target size; `starting` of them do not exist or cannot work yet.
    busy
        Children that run a job or have reserved memory for one.
    backlog, oldest_seconds
        Number of waiting jobs, and the wait of the oldest.
    fixed_mb
        Memory of the main process.
    busy_mb
        Memory of the busy children, with what they have reserved and not yet taken.
    child_mb
        Memory of a child that runs a typical job.
    least, most
        Requested bounds of the number of children.
    """

    now_seconds: float
    children: int
    busy: int
    starting: int = 0
    backlog: int = 0
    oldest_seconds: float = 0.0
    limit_mb: float
    fixed_mb: float
    busy_mb: float
    child_mb: float
    least: int
    most: int


class ScalingHistory(Struct, frozen=True):
    """When the pool last grew, shrank, was short of memory, and had work for all its children (monotonic clock)."""

    grown_seconds: float = _NEVER
    shrunk_seconds: float = _NEVER
    short_seconds: float = _NEVER
    occupied_seconds: float | None = None


def memory_bound(look: PoolLoad, margin: float = 0.0) -> int:
    """Return how many children could run jobs at once with the fraction `margin` of the limit left free.

    May be fewer than the busy children. At least one is always allowed: a pool without children answers no job, and
    each job's own memory is checked when it is claimed.
    """
    free_mb = look.limit_mb * (1.0 - margin) - look.fixed_mb - look.busy_mb
    return max(1, look.busy + math.floor(free_mb / look.child_mb))


def desired_children(look: PoolLoad, past: ScalingHistory) -> tuple[int, ScalingHistory]:
    """Return the number of children that the pool should have now, and the history for the next call."""
    pressing = look.backlog if look.oldest_seconds >= GROW_AFTER_SECONDS else 0
    needed = max(min(look.least, look.most), min(look.most, look.busy + pressing))
    if past.occupied_seconds is None or needed >= look.children:
        past = structs.replace(past, occupied_seconds=look.now_seconds)
    fits = memory_bound(look)
    if look.children > fits:
        past = structs.replace(past, short_seconds=look.now_seconds)
    if look.children > min(fits, look.most):
        return min(fits, look.most), past
    if needed > look.children:
        asked = min(look.least, look.most)
        target = min(memory_bound(look, GROWTH_MARGIN), max(asked, min(needed, 2 * look.children)))
        if target > look.children and _may_grow(look, past):
            return target, structs.replace(past, grown_seconds=look.now_seconds)
    elif needed < look.children and _may_shrink(look, past):
        return look.children - 1, structs.replace(past, shrunk_seconds=look.now_seconds)
    return look.children, past


def _may_grow(look: PoolLoad, past: ScalingHistory) -> bool:
    """Return True if the children of the last step have been measured, and memory was not short recently."""
    settled = not look.starting and look.now_seconds - past.grown_seconds >= STEP_SECONDS
    return settled and look.now_seconds - past.short_seconds >= RECOVER_SECONDS


def _may_shrink(look: PoolLoad, past: ScalingHistory) -> bool:
    idle_seconds = look.now_seconds - (look.now_seconds if past.occupied_seconds is None else past.occupied_seconds)
    return idle_seconds >= SHRINK_AFTER_SECONDS and look.now_seconds - past.shrunk_seconds >= STEP_SECONDS
