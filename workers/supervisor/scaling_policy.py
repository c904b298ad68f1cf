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
    min_children, max_children
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
    min_children: int
    max_children: int


class ScalingHistory(Struct, frozen=True):
    """When the pool last grew, shrank, was short of memory, and had work for all its children (monotonic clock)."""

    grown_seconds: float = _NEVER
    shrunk_seconds: float = _NEVER
    short_seconds: float = _NEVER
    occupied_seconds: float | None = None


def memory_bound(load: PoolLoad, margin: float = 0.0) -> int:
    """Return how many children could run jobs at once with the fraction `margin` of the limit left free.

    May be fewer than the busy children. At least one is always allowed: a pool without children answers no job, and
    each job's own memory is checked when it is claimed.
    """
    free_mb = load.limit_mb * (1.0 - margin) - load.fixed_mb - load.busy_mb
    return max(1, load.busy + math.floor(free_mb / load.child_mb))


def desired_children(load: PoolLoad, history: ScalingHistory) -> tuple[int, ScalingHistory]:
    """Return the number of children that the pool should have now, and the history for the next call."""
    pressing = load.backlog if load.oldest_seconds >= GROW_AFTER_SECONDS else 0
    needed = max(min(load.min_children, load.max_children), min(load.max_children, load.busy + pressing))
    if history.occupied_seconds is None or needed >= load.children:
        history = structs.replace(history, occupied_seconds=load.now_seconds)
    bound = memory_bound(load)
    if load.children > bound:
        history = structs.replace(history, short_seconds=load.now_seconds)
    if load.children > min(bound, load.max_children):
        return min(bound, load.max_children), history
    if needed > load.children:
        asked = min(load.min_children, load.max_children)
        target = min(memory_bound(load, GROWTH_MARGIN), max(asked, min(needed, 2 * load.children)))
        if target > load.children and _may_grow(load, history):
            return target, structs.replace(history, grown_seconds=load.now_seconds)
    elif needed < load.children and _may_shrink(load, history):
        return load.children - 1, structs.replace(history, shrunk_seconds=load.now_seconds)
    return load.children, history


def _may_grow(load: PoolLoad, history: ScalingHistory) -> bool:
    """Return True if the children of the last step have been measured, and memory was not short recently."""
    settled = not load.starting and load.now_seconds - history.grown_seconds >= STEP_SECONDS
    return settled and load.now_seconds - history.short_seconds >= RECOVER_SECONDS


def _may_shrink(load: PoolLoad, history: ScalingHistory) -> bool:
    idle_seconds = load.now_seconds - (
        load.now_seconds if history.occupied_seconds is None else history.occupied_seconds
    )
    return idle_seconds >= SHRINK_AFTER_SECONDS and load.now_seconds - history.shrunk_seconds >= STEP_SECONDS
