"""The quarantine: malformed items of a queue's doorbell list, kept for inspection."""

from __future__ import annotations

from ledger.server.server import Server

MAX_QUARANTINED_BYTES = 10_000


class Quarantine:
    """Malformed queue items, newest first."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add(self, queue: str, item: bytes) -> None:
        """Quarantine a malformed item, cut to a readable length; the oldest items are dropped beyond the limit."""
        self._server.run_script(
            "quarantine", queue, item[:MAX_QUARANTINED_BYTES], self._server.settings.max_quarantined
        )

    def items(self, queue: str, limit: int = 100) -> list[bytes]:
        """Return the quarantined items of a queue, newest first."""
        return list(self._server.execute("LRANGE", self._server.key("quarantine", queue), 0, limit - 1))

    def purge(self, queue: str) -> int:
        """Delete the quarantined items of a queue and return how many there were."""
        return int(self._server.run_script("purge", "quarantine", queue))
