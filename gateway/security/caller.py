"""Who asks: the caller of a request, and what a role may do."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Role(IntEnum):
    """What a caller may do. Each role may do what the ones below it may."""

    READER = 1
    PRODUCER = 2
    OPERATOR = 3


class Caller(Struct, frozen=True):
    """The caller of a request: its name in records and logs, and its role."""

    name: str
    role: Role


LOCAL = Caller("local", Role.OPERATOR)
"""Everybody who reaches a gateway on a loopback address while no token has been made."""
