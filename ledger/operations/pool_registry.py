"""The living worker pools and what each announces."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ledger.server.connection_pool import Command
from ledger.server.server import Server

PRUNE_SECONDS = 60.0
"""How often one pool removes the names of those that are gone; readers leave them out anyway."""


class PoolRegistry:
    """The living worker pools."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pruned_seconds = -float("inf")

    def announce(self, name: str, info: dict[str, Any], ttl_seconds: float) -> None:
        """Announce a pool as alive for `ttl_seconds`. `info` contains JSON values."""
        self._server.transaction(*self.announcement(name, info, ttl_seconds))
        self.prune_if_due()

    def announcement(self, name: str, info: dict[str, Any], ttl_seconds: float) -> tuple[Command, ...]:
        """Return the commands of `announce`, for a transaction that does more."""
        return (
            ("SADD", self._server.key("pools"), name),
            ("SET", self._server.key("pool", name), msgspec.json.encode(info), "PX", round(ttl_seconds * 1000)),
        )

    def prune_if_due(self) -> None:
        """Remove the names of pools that are gone, once in `PRUNE_SECONDS`."""
        if time.monotonic() - self._pruned_seconds < PRUNE_SECONDS:
            return
        self._pruned_seconds = time.monotonic()
        names = self._server.execute("SMEMBERS", self._server.key("pools"))
        if not names:
            return
        alive = self._server.transaction(
            *(("EXISTS", self._server.key("pool", other.decode())) for other in sorted(names))
        )
        if gone := [other for other, lives in zip(sorted(names), alive, strict=True) if not lives]:
            # A pool that still lives announces itself again.
            self._server.execute("SREM", self._server.key("pools"), *gone)

    def alive(self) -> list[dict[str, Any]]:
        """Return the living pools by name, each its `name` and what it announced."""
        names = sorted(self._server.execute("SMEMBERS", self._server.key("pools")))
        if not names:
            return []
        infos = self._server.execute("MGET", *(self._server.key("pool", name.decode()) for name in names))
        return [
            {"name": name.decode(), **msgspec.json.decode(info)}
            for name, info in zip(names, infos, strict=True)
            if info is not None
        ]
