"""Malformed items that were found in a queue's doorbell list, kept for the operator."""

from __future__ import annotations

from ledger.server.server import Server

MAX_QUARANTINED_BYTES = 10_000


class Quarantine:
    """Malformed queue items, newest first."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add(self, queue: str, item: bytes) -> None:
        """Put an odd item of a queue aside, cut to a readable length; the oldest give way to the newest."""
        self._server.run_script("aside", queue, item[:MAX_QUARANTINED_BYTES], self._server.settings.quarantine_cap)

    def items(self, queue: str, limit: int = 100) -> list[bytes]:
        """Return what was put aside, newest first."""
        return list(self._server.execute("LRANGE", self._server.key("quarantine", queue), 0, limit - 1))

    def purge(self, queue: str) -> int:
        """Throw away what was put aside and return how many items there were."""
        return int(self._server.run_script("purge", "quarantine", queue))
