"""The rules of the supervisor for children and the jobs that they hold, as pure functions.

Measurements, clocks and effects are in `workers.supervisor.supervisor`, so that a test of the rules is a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from enum import Enum

from msgspec import Struct

from workers.pool.scoreboard import ChildSlot

UNATTENDED_GRACE_SECONDS = 1.0
"""How long a child may hold a job without running it: the claim or its reply may still be on the way."""

MAX_UNSETTLED_SECONDS = 30.0
"""How long a child may fail to settle a finished job while its supervisor reaches the ledger."""


class Disposition(Enum):
    """The decision about a held job."""

    RENEW = "keep"  # renew its lease
    RELEASE = "give_back"  # queue it again at the same attempt: no child ran it, or the pool is closing
    WORKER_LOST = "lose"  # its child died while running it: queue it with the next attempt, or fail it as `worker_lost`
    TIME_LIMIT_EXCEEDED = "time_out"  # it ran too long: settle it as `time_limit_exceeded`
    MEMORY_LIMIT_EXCEEDED = "overfill"  # its child grew too large: settle it as `memory_limit_exceeded`


class ChildSnapshot(Struct, frozen=True):
    """A child as observed by the supervisor.

    `idle_seconds` is the time without a job. `killed_for` is the token of the claim for which the pool killed the child
    (empty: for no claim); None if the pool did not kill it.
    """

    slot: ChildSlot
    alive: bool = True
    idle_seconds: float = 0.0
    killed_for: bytes | None = None

    def died_running(self, token: bytes) -> bool:
        """Return True if the dead child was running this claim and was not killed for another reason."""
        return self.slot.token == token and self.killed_for in (None, token)

    @property
    def crashed(self) -> bool:
        """True if the child died without being killed by its pool."""
        return not self.alive and self.killed_for is None


def exceeds_time_limit(slot: ChildSlot, now_seconds: float) -> bool:
    """Return True if a job has run longer than its limit."""
    return bool(slot.token) and now_seconds - slot.started_seconds > slot.limit_seconds


def orphaned_children(children: Iterable[ChildSnapshot], held: Set[bytes]) -> set[tuple[int, bytes]]:
    """Return (process id, token) of the live children that run a claim which the ledger does not grant them.

    Such a job was cancelled, its lease expired, or the child has settled it a moment ago: act only on pairs found by
    two ticks in a row. A child whose handler has ended is left alone: its settlement is refused.
    """
    running = (child.slot for child in children if child.alive and not child.slot.handler_ended)
    return {(slot.pid, slot.token) for slot in running if slot.token and slot.token not in held}


def decide_disposition(
    token: bytes,
    child: ChildSnapshot | None,
    *,
    held_seconds: float,
    timed_out: Set[bytes],
    closing: bool,
    overfilled: Set[bytes] = frozenset(),
) -> Disposition:
    """Return the decision about one held job.

    `token` names the claim and `child` holds it (None: the scoreboard has no such child). `held_seconds` is how long
    the supervisor has observed that. `timed_out` and `overfilled` are the claims whose children were killed
    for exceeding their limit of time or memory; with `closing` the shutdown grace is over. The children were read
    before the ledger, so a job claimed in between seems to belong to an idle child: releasing it takes a second tick.
    """
    if token in timed_out:
        return Disposition.TIME_LIMIT_EXCEEDED
    if token in overfilled:
        return Disposition.MEMORY_LIMIT_EXCEEDED
    if child is not None and not child.alive:
        return Disposition.WORKER_LOST if child.died_running(token) else Disposition.RELEASE
    if closing:
        return Disposition.RELEASE
    unattended_seconds = held_seconds if child is None else min(held_seconds, child.idle_seconds)
    return Disposition.RELEASE if unattended_seconds > UNATTENDED_GRACE_SECONDS else Disposition.RENEW
