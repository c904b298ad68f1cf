"""The blocking connection to Redis or Valkey: scripts, single commands, subscriptions.

An unreachable server becomes `LedgerUnavailableError`, a refusal by its ACL `PermissionDeniedError`; both name the
address, never the password. An error in our own use of the server stays as redis-py raises it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ledger.server.base_server import BaseServer, open_client, to_datetime
from ledger.server.connection_pool import Command, ConnectionPool
from ledger.server.error_replies import error_meaning
from ledger.server.exchanges import (
    Call,
    Commands,
    Exchange,
    Iteration,
    NextMessage,
    Subscribe,
    SubscribedExchange,
    drive,
    next_item,
)
from ledger.server.script_keys import in_cluster
from ledger.server.server_memory import EvictionWarning, ServerMemory
from ledger.server.subscriptions import Subscription, subscribe
from ledger.settings import LedgerSettings

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

__all__ = ["Server", "connection_advice", "to_datetime"]

T = TypeVar("T")


class Server(BaseServer):
    """A connection to one Redis or Valkey server, shared by all parts of a ledger.

    Up to `connection_pool.MAX_THREADS` threads may share it.

    Attributes
    ----------
    connections
        Connections for commands and scripts.
    subscribers
        Connections that are used for subscriptions only (`ledger.server.subscriptions`).
    """

    def __init__(self, client: redis.Redis, settings: LedgerSettings) -> None:
        super().__init__(client, settings)
        self.connections = ConnectionPool(client, settings.reply_timeout_seconds)
        self.subscribers = ConnectionPool(client, settings.reply_timeout_seconds)

    @classmethod
    def connect(cls, settings: LedgerSettings) -> Self:
        """Connect to the server of `settings.redis_url`.

        Warns with EvictionWarning if the server may evict keys of the ledger. Raises LedgerUnavailableError if the
        server does not answer or refuses the user.
        """
        server = cls(open_client(settings), settings)
        memory = server.run(server.greet())
        if memory is not None and memory.may_evict:
            warnings.warn(f"the server at {server.address} {memory}", EvictionWarning, stacklevel=3)
        return server

    def close(self) -> None:
        """Close all connections."""
        self.subscribers.close()
        self.connections.close()
        self.client.close()

    def run(self, exchange: Exchange[T]) -> T:
        """Perform the requests of an exchange and return its result."""
        return drive(exchange, self._send)

    def run_subscribed(self, exchange: SubscribedExchange[T]) -> T:
        """Perform the requests of an exchange that subscribes to a channel, and return its result."""
        subscriptions: list[Subscription] = []

        def perform(request: Commands | Call | Subscribe | NextMessage) -> Any:
            if isinstance(request, Commands | Call):
                return self._send(request)
            if isinstance(request, NextMessage):
                return subscriptions[0].next_message(request.timeout_seconds)
            readers = self.connections if in_cluster(self.settings.redis_url) else None
            subscription = subscribe(self.subscribers, request.channel, request.query, readers)
            subscriptions.append(stack.enter_context(subscription))
            return subscriptions[0].initial_reply

        with ExitStack() as stack:
            return drive(exchange, perform)

    def iterate(self, iteration: Iteration[T]) -> Iterator[T]:
        """Perform the requests of an iteration and yield its items."""
        while (item := drive(next_item(iteration), self._send)) is not None:
            yield item.value

    def _send(self, request: Commands | Call) -> Any:
        if isinstance(request, Call):
            return request.function()
        return self.connections.execute(*request.commands, blocks_seconds=request.blocks_seconds)

    def time(self) -> float:
        """Return the server's clock, in seconds since 1970."""
        seconds, microseconds = self.execute("TIME")
        return int(seconds) + int(microseconds) / 1e6

    def memory(self) -> ServerMemory:
        """Return the memory use and limit of the server."""
        return ServerMemory.from_info(self.execute("INFO", "memory"))

    def run_script(self, name: str, *args: Any) -> Any:
        """Run a Lua script and return its reply."""
        return drive(self.script(name, *args), self._send)

    def run_script_then(
        self, name: str, args: Sequence[Any], *commands: Command, blocks_seconds: float = 0.0
    ) -> list[Any]:
        """Run a Lua script, and commands after it on the same connection; return all replies."""
        return drive(self.script_then(name, args, *commands, blocks_seconds=blocks_seconds), self._send)

    def execute(self, *command: Any, blocks_seconds: float = 0.0) -> Any:
        """Run one command and return its reply as redis-py parses it.

        `blocks_seconds` is how long the command itself may block on the server.
        """
        return drive(self.command(*command, blocks_seconds=blocks_seconds), self._send)

    def transaction(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands in one MULTI/EXEC transaction and return their replies."""
        return drive(self.multi(*commands), self._send)


def connection_advice(error: redis.RedisError) -> str | None:
    """Return why the server cannot be used and what to do; None if our own request is at fault."""
    refusal = error_meaning(error)
    return None if refusal is None else refusal.advice
