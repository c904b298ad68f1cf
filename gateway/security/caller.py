"""Who asks: the caller of a request, and what its role lets it do."""

from __future__ import annotations

from msgspec import Struct

from ledger.operations.tokens import Role

__all__ = ["LOCAL", "Caller", "Role"]

_ORDER = (Role.READER, Role.PRODUCER, Role.OPERATOR)


class Caller(Struct, frozen=True):
    """The caller of a request: its name in records and logs, and its role."""

    name: str
    role: Role

    def may(self, least: Role) -> bool:
        """Return True if the caller has this role or a higher one."""
        return _ORDER.index(self.role) >= _ORDER.index(least)


LOCAL = Caller("local", Role.OPERATOR)
"""Everybody who reaches a gateway on a loopback address while no token has been made."""
