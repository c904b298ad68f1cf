"""How many children a pool should have, as a pure function of what its guard sees.

Memory comes first: no more children than could all be at work at once below the limit. Within that, a backlog that
lasts makes the pool grow, at most doubling at each step, so that what the new ones take is seen before the next; a
lasting surplus makes it shrink, one by one. Only idle children ever go.

Against flapping: growth wants a tenth of the limit to spare and some seconds after memory was short, and a surplus has
to last. Sensors and clocks are in `workers.supervisor.memory_budget`, the hands in `workers.broker.autoscaler`.
"""

from __future__ import annotations

import math

from msgspec import Struct, structs

GROW_AFTER_SECONDS = 0.5
"""How long a job has waited when the pool grows: what one child answers in between needs no second."""
STEP_SECONDS = 1.0
"""Between two steps of growth, or of shrinking: until then the last one shows in what is measured."""
RECOVER_SECONDS = 5.0
"""How long after memory was short the pool does not grow."""
SURPLUS_SECONDS = 30.0
"""How long children have had nothing to do until the first of them goes."""
MARGIN = 0.1
"""Share of the limit that growth leaves free."""

_NEVER = -float("inf")


class Look(Struct, frozen=True, kw_only=True):
    """What is seen of a pool at one moment, in MiB and seconds.

    `children` is what was wanted last; `starting` of them are not there or cannot work yet. `backlog` jobs wait, the
    oldest for `oldest_seconds`. `fixed_mb` is what the main process takes, `busy_mb` what the busy children take and
    may still grow to, `child_mb` what a child takes that is at work on a usual job. Asked for are `least` to `most`.
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


class Past(Struct, frozen=True):
    """When the pool last grew, shrank, was short of memory, and had work for all its children."""

    grown_seconds: float = _NEVER
    shrunk_seconds: float = _NEVER
    short_seconds: float = _NEVER
    occupied_seconds: float | None = None


def allowed(look: Look, margin: float = 0.0) -> int:
    """Return how many children could be at work at once with `margin` of the limit left free; fewer than are busy, too.

    One is always allowed: a pool without children answers nobody, and what a job may take is checked when it comes.
    """
    free_mb = look.limit_mb * (1.0 - margin) - look.fixed_mb - look.busy_mb
    return max(1, look.busy + math.floor(free_mb / look.child_mb))


def wanted(look: Look, past: Past) -> tuple[int, Past]:
    """Return how many children the pool should have now, and what the next look has to know."""
    pressing = look.backlog if look.oldest_seconds >= GROW_AFTER_SECONDS else 0
    needed = max(min(look.least, look.most), min(look.most, look.busy + pressing))
    if past.occupied_seconds is None or needed >= look.children:
        past = structs.replace(past, occupied_seconds=look.now_seconds)
    fits = allowed(look)
    if look.children > fits:
        past = structs.replace(past, short_seconds=look.now_seconds)
    if look.children > min(fits, look.most):
        return min(fits, look.most), past
    if needed > look.children:
        asked = min(look.least, look.most)
        target = min(allowed(look, MARGIN), max(asked, min(needed, 2 * look.children)))
        if target > look.children and _may_grow(look, past):
            return target, structs.replace(past, grown_seconds=look.now_seconds)
    elif needed < look.children and _may_shrink(look, past):
        return look.children - 1, structs.replace(past, shrunk_seconds=look.now_seconds)
    return look.children, past


def _may_grow(look: Look, past: Past) -> bool:
    """Whether the children of the last step have shown what they take, and memory was not short of late."""
    settled = not look.starting and look.now_seconds - past.grown_seconds >= STEP_SECONDS
    return settled and look.now_seconds - past.short_seconds >= RECOVER_SECONDS


def _may_shrink(look: Look, past: Past) -> bool:
    idle_seconds = look.now_seconds - (look.now_seconds if past.occupied_seconds is None else past.occupied_seconds)
    return idle_seconds >= SURPLUS_SECONDS and look.now_seconds - past.shrunk_seconds >= STEP_SECONDS
