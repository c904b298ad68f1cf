"""The rules of the supervisor for children and the jobs that they hold, as pure functions.

Measurements, clocks and effects are in `workers.supervisor.supervisor`, so that a test of the rules is a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from enum import Enum

from msgspec import Struct

from workers.pool.scoreboard import Activity

GRACE_SECONDS = 1.0
"""How long a child may hold a job without running it: the claim or its reply may still be on the way."""

UNSETTLED_SECONDS = 30.0
"""How long a child may fail to settle a finished job while its supervisor reaches the ledger."""


class Verdict(Enum):
    """The decision about a held job."""

    KEEP = "keep"  # renew its lease
    GIVE_BACK = "give_back"  # queue it again at the same attempt: no child ran it, or the pool is closing
    LOSE = "lose"  # its child died while running it: queue it with the next attempt, or fail it as `worker_lost`
    TIME_OUT = "time_out"  # it ran too long: settle it as `time_limit_exceeded`
    OVERFILL = "overfill"  # its child grew too large: settle it as `memory_limit_exceeded`


class Child(Struct, frozen=True):
    """A child as observed by the supervisor.

    `idle_seconds` is the time without a job. `killed_for` is the token of the claim for which the pool killed the child
    (empty: for no claim); None if the pool did not kill it.
    """

    activity: Activity
    alive: bool = True
    idle_seconds: float = 0.0
    killed_for: bytes | None = None

    def lost(self, token: bytes) -> bool:
        """Return True if the dead child was running this claim and was not killed for another reason."""
        return self.activity.token == token and self.killed_for in (None, token)

    @property
    def went_down(self) -> bool:
        """True if the child died without being killed by its pool."""
        return not self.alive and self.killed_for is None


def overtime(activity: Activity, now_seconds: float) -> bool:
    """Return True if a job has run longer than its limit."""
    return bool(activity.token) and now_seconds - activity.started_seconds > activity.limit_seconds


def strays(children: Iterable[Child], held: Set[bytes]) -> set[tuple[int, bytes]]:
    """Return (process id, token) of the live children that run a claim which the ledger does not grant them.

    Such a job was cancelled, its lease expired, or the child has settled it a moment ago: act only on pairs found by
    two ticks in a row. A child whose handler has ended is left alone: its settlement is refused.
    """
    running = (child.activity for child in children if child.alive and not child.activity.handled)
    return {(activity.pid, activity.token) for activity in running if activity.token and activity.token not in held}


def verdict(
    token: bytes,
    child: Child | None,
    *,
    held_seconds: float,
    timed_out: Set[bytes],
    closing: bool,
    overfilled: Set[bytes] = frozenset(),
) -> Verdict:
    """Return the decision about one held job.

    `token` names the claim and `child` holds it (None: the scoreboard has no such child). `held_seconds` is how long
    the supervisor has observed that. `timed_out` and `overfilled` are the claims whose children were killed for
    exceeding their limit of time or memory; with `closing` the shutdown grace is over. The children were read before
    the ledger, so a job claimed in between seems to belong to an idle child: releasing it takes a second tick.
    """
    if token in timed_out:
        return Verdict.TIME_OUT
    if token in overfilled:
        return Verdict.OVERFILL
    if child is not None and not child.alive:
        return Verdict.LOSE if child.lost(token) else Verdict.GIVE_BACK
    if closing:
        return Verdict.GIVE_BACK
    unattended_seconds = held_seconds if child is None else min(held_seconds, child.idle_seconds)
    return Verdict.GIVE_BACK if unattended_seconds > GRACE_SECONDS else Verdict.KEEP
