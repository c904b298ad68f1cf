"""Lengths and waiting times of the queues."""

from __future__ import annotations

from msgspec import Struct

from ledger.jobs.claims import QUEUES
from ledger.server.server import Server


class QueueBacklog(Struct, frozen=True):
    """Backlog of a queue. `oldest_seconds` is the time since the oldest job was submitted, at least 0."""

    waiting: int
    oldest_seconds: float
    quarantined: int


class Backlog(Struct, frozen=True):
    """Backlogs of all queues by name, and the number of dead letters."""

    queues: dict[str, QueueBacklog]
    dead_letters: int


class QueueStats:
    """Lengths and waiting times of the queues."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def backlog(self) -> Backlog:
        """Measure every queue on the server's clock, in one round trip."""
        now, dead, *queues = self._server.run_script("backlog", *QUEUES)
        return Backlog(
            {
                queue: QueueBacklog(waiting, max(0, int(now) - int(oldest or now)) / 1000, quarantined)
                for queue, (waiting, oldest, quarantined) in zip(QUEUES, queues, strict=True)
            },
            dead,
        )

    def depths(self) -> dict[str, int]:
        """Return the number of waiting jobs by queue."""
        depths = self._server.transaction(*(("ZCARD", self._server.key("queue", queue)) for queue in QUEUES))
        return dict(zip(QUEUES, depths, strict=True))
