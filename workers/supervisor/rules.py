"""What the guard does about a pool's children and the jobs they hold, as pure functions.

Sensors, clocks and actuators are in `workers.supervisor.supervisor`; here are only the rules, so that their test is a
table.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from enum import Enum

from msgspec import Struct

from workers.pool.scoreboard import Activity

GRACE_SECONDS = 1.0
"""How long a child may seem to hold a job that it does not run: the claim or its reply may still be on the way."""

UNSETTLED_SECONDS = 30.0
"""How long a child may fail to tell the ledger how its job ended, while the guard of its pool reaches it."""

"""A job that takes this much of what a fresh child would have left it has filled the child itself."""


class Verdict(Enum):
    """What becomes of a job that a child holds."""

    KEEP = "keep"  # its lease is renewed
    GIVE_BACK = "give_back"  # queued again, at the same attempt: nobody worked on it, or the pool is closing
    LOSE = "lose"  # its child died while running it: queued again with the next attempt, or `worker_lost`
    TIME_OUT = "time_out"  # it ran longer than its limit: settled as `time_limit_exceeded`
    OVERFILL = "overfill"  # its child grew above its ceiling: settled as `memory_limit_exceeded`


class Child(Struct, frozen=True):
    """A child as the guard sees it. `idle_seconds` is how long it has been without a job.

    `killed_for` is the claim for which its own pool has killed it (empty: for none), None for one that was not killed.
    """

    activity: Activity
    alive: bool = True
    idle_seconds: float = 0.0
    killed_for: bytes | None = None

    def lost(self, token: bytes) -> bool:
        """Whether a claim was lost with the dead child, which was running it and was not killed for another reason."""
        return self.activity.token == token and self.killed_for in (None, token)

    @property
    def went_down(self) -> bool:
        """Whether it died by itself."""
        return not self.alive and self.killed_for is None


def overtime(activity: Activity, now_seconds: float) -> bool:
    """Whether a job has run longer than its limit."""
    return bool(activity.token) and now_seconds - activity.started_seconds > activity.limit_seconds


def strays(children: Iterable[Child], held: Set[bytes]) -> set[tuple[int, bytes]]:
    """Return (process id, token) of the live children that run what the ledger does not grant them.

    Such a job was cancelled, or its lease ran out, or the child has settled it a moment ago: act only upon what two
    looks in a row have found. One whose handler has ended is left alone: it hears that it is refused.
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
    """Judge one held job.

    `token` names its claim, `child` holds it (None: the board shows no such child), `held_seconds` is how long that has
    been seen, `timed_out` and `overfilled` are the claims whose children were killed for running over their limit of
    time or memory, `closing` says that the pool's time to finish is over. The children were looked at before the
    ledger, so that what is claimed in between seems to be in idle hands: that takes a second look.
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
