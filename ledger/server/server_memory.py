"""How full the server is, and what it does when it is full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

NO_EVICTION = "noeviction"


class EvictionWarning(UserWarning):
    """The server may evict what the ledger keeps."""


class Room(Struct, frozen=True):
    """The server's memory. `limit_bytes` is its maxmemory, None if it has none; `policy` is what it does at that."""

    used_bytes: int
    limit_bytes: int | None
    policy: str = NO_EVICTION

    @property
    def evicts(self) -> bool:
        """Whether the server may drop jobs, or outcomes and what tells that a job is over, as volatile-* do too."""
        return self.limit_bytes is not None and self.policy != NO_EVICTION

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """Read the section `memory` of INFO."""
        limit_bytes = int(info["maxmemory"]) or None
        return cls(int(info["used_memory"]), limit_bytes, str(info.get("maxmemory_policy", NO_EVICTION)))

    def __str__(self) -> str:
        """Say what is wrong with it, for people; nothing if nothing is."""
        if not self.evicts:
            return ""
        return f"may evict jobs and outcomes (maxmemory-policy {self.policy}): set its maxmemory-policy to noeviction"
