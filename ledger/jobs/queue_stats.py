"""Lengths and waiting times of the queues."""

from __future__ import annotations

from msgspec import Struct

from ledger.jobs.claims import QUEUES
from ledger.server.server import Server


class QueueBacklog(Struct, frozen=True):
    """Backlog of a queue. `oldest_seconds` is the time since the oldest job was queued, at least 0.

    `callers` has the waiting jobs by caller, of at most 50 callers; jobs without a caller are in `waiting` alone.
    """

    waiting: int
    oldest_seconds: float
    quarantined: int
    callers: dict[str, int] = {}


class Backlog(Struct, frozen=True):
    """Backlogs of all queues by name, and the numbers of dead letters and of jobs in the state `waiting`."""

    queues: dict[str, QueueBacklog]
    dead_letters: int
    not_queued: int = 0


class QueueStats:
    """Lengths and waiting times of the queues."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def backlog(self) -> Backlog:
        """Measure every queue on the server's clock, in one round trip."""
        now, dead, not_queued, *queues = self._server.run_script("backlog", *QUEUES)
        return Backlog(
            {
                queue: QueueBacklog(
                    waiting,
                    max(0, int(now) - int(oldest or now)) / 1000,
                    quarantined,
                    {name.decode(): count for name, count in zip(callers[::2], callers[1::2], strict=True)},
                )
                for queue, (waiting, oldest, quarantined, callers) in zip(QUEUES, queues, strict=True)
            },
            dead,
            not_queued,
        )

    def depths(self) -> dict[str, int]:
        """Return the number of waiting jobs by queue."""
        depths = self._server.transaction(
            *(("ZCARD", self._server.key(part, queue)) for queue in QUEUES for part in ("queue", "named"))
        )
        return {queue: sum(depths[2 * at : 2 * at + 2]) for at, queue in enumerate(QUEUES)}
