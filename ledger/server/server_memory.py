"""Memory of the server: use, limit, and policy at the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

NO_EVICTION = "noeviction"


class EvictionWarning(UserWarning):
    """The server may evict keys of the ledger."""


class ServerMemory(Struct, frozen=True):
    """Memory of the server. `limit_bytes` is its maxmemory, None without one; `policy` is its maxmemory-policy."""

    used_bytes: int
    limit_bytes: int | None
    policy: str = NO_EVICTION

    @property
    def may_evict(self) -> bool:
        """True if the server may evict jobs, outcomes or tombstones, as volatile-* policies do too."""
        return self.limit_bytes is not None and self.policy != NO_EVICTION

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Self:
        """Read the section `memory` of INFO."""
        limit_bytes = int(info["maxmemory"]) or None
        return cls(int(info["used_memory"]), limit_bytes, str(info.get("maxmemory_policy", NO_EVICTION)))

    def __str__(self) -> str:
        """Return what is wrong with the configuration, for people; empty if nothing is."""
        if not self.may_evict:
            return ""
        return f"may evict jobs and outcomes (maxmemory-policy {self.policy}): set its maxmemory-policy to noeviction"
