"""redis-py's connections, which ask where the primary is whenever they connect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio

from ledger.server.requirements import facts_of, mode_advice
from ledger.server.topology.addresses import Node
from ledger.server.topology.resolver import PrimaryChangedError, Resolver, WrongServerError


def check_server(reply: Any, resolver: Resolver, node: Node) -> None:
    """Refuse a server that is not what the resolver looked for, by its reply to HELLO.

    Raises PrimaryChangedError for a replica: another attempt may find the primary. Raises WrongServerError for a server
    of another mode.
    """
    facts = facts_of(reply)
    advice = mode_advice(facts.get("mode", ""), resolver.mode)
    if advice is not None:
        raise WrongServerError(f"of {node}: {advice}")
    if facts.get("role") != "master":
        raise PrimaryChangedError(node)


class _Resolving:
    """What the blocking and the asyncio connection have in common: where they are connected."""

    host: str
    port: int
    socket_connect_timeout: float | None

    def __init__(self, *, resolver: Resolver, **options: Any) -> None:
        super().__init__(**options)
        self.resolver = resolver

    @property
    def node(self) -> Node:
        """The server that the connection was last connected to."""
        return Node(self.host, self.port)

    @property
    def patience_seconds(self) -> float:
        """How long asking for the primary may take."""
        return self.socket_connect_timeout or 5.0

    def _locate(self) -> None:
        self.host, self.port = self.resolver.primary(self.patience_seconds)

    @contextmanager
    def _rest_of_time(self, started_seconds: float) -> Iterator[None]:
        """Let asking and connecting together take no longer than connecting may."""
        whole = self.socket_connect_timeout
        if whole is not None:
            self.socket_connect_timeout = max(whole - (time.monotonic() - started_seconds), 0.05)
        try:
            yield
        finally:
            self.socket_connect_timeout = whole


class ResolvingConnection(_Resolving, redis.Connection):
    """A blocking connection to the primary that a resolver finds."""

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Ask where the primary is and connect to it, if not connected."""
        if self._sock is None:
            started_seconds = time.monotonic()
            self._locate()
            with self._rest_of_time(started_seconds):
                super().connect_check_health(check_health, retry_socket_connect)

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server, and refuse it if it is not the primary."""
        super().on_connect_check_health(check_health)
        self.send_command("HELLO", check_health=False)  # type: ignore[no-untyped-call]
        check_server(self.read_response(), self.resolver, self.node)

    def confirm(self) -> None:
        """Check that the server is still the primary. If not, disconnect and raise PrimaryChangedError."""
        if self._sock is None:
            return
        if self.resolver.check_is_due:
            self.resolver.check(self.patience_seconds)
        if not self.resolver.is_primary(self.node):
            self.disconnect()
            raise PrimaryChangedError(self.node)


class ResolvingSSLConnection(ResolvingConnection, redis.SSLConnection):
    """The same over TLS. The certificate must be valid for the host that the sentinels name."""


class AsyncResolvingConnection(_Resolving, redis.asyncio.Connection):
    """An asyncio connection to the primary that a resolver finds, in a thread: it is asked when connecting only."""

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Ask where the primary is and connect to it, if not connected."""
        if not self.is_connected:
            started_seconds = time.monotonic()
            await asyncio.to_thread(self._locate)
            with self._rest_of_time(started_seconds):
                await super().connect_check_health(check_health, retry_socket_connect)

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet the server, and refuse it if it is not the primary."""
        await super().on_connect_check_health(check_health)
        await self.send_command("HELLO", check_health=False)
        check_server(await self.read_response(), self.resolver, self.node)


class AsyncResolvingSSLConnection(AsyncResolvingConnection, redis.asyncio.SSLConnection):
    """The same over TLS."""
