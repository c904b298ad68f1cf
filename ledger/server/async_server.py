"""The asyncio connection to Redis or Valkey, with the errors, time limits and retries of `ledger.server.server`."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from ledger.server.async_connections import AsyncConnections
from ledger.server.async_subscriptions import AsyncSubscription, AsyncSubscriptions
from ledger.server.base_server import BaseServer, checked_replies, open_client
from ledger.server.exchanges import (
    Call,
    Commands,
    Exchange,
    Iteration,
    NextMessage,
    Subscribe,
    SubscribedExchange,
    drive_async,
    next_item,
)
from ledger.server.script_keys import in_cluster
from ledger.server.server_memory import EvictionWarning
from ledger.settings import LedgerSettings

T = TypeVar("T")


class AsyncServer(BaseServer):
    """A connection to one Redis or Valkey server for one event loop, opened when it is first used.

    All calls share one connection, and all subscriptions another; only commands that block have one of their own.

    Parameters
    ----------
    settings
        Settings of the ledger. Raises LedgerUnavailableError if they name no server, or by a URL that cannot be read.
    """

    def __init__(self, settings: LedgerSettings) -> None:
        super().__init__(open_client(settings, asynchronous=True), settings)
        self.connections = AsyncConnections(self.client, settings.reply_timeout_seconds)
        self.subscriptions = AsyncSubscriptions(self.connections, sharded=in_cluster(settings.redis_url))

    async def connect(self) -> None:
        """Check that the server answers.

        Warns with EvictionWarning if the server may evict keys of the ledger. Raises LedgerUnavailableError if the
        server does not answer or refuses the user.
        """
        self.connections.reopen()
        memory = await self.run(self.greet())
        if memory is not None and memory.may_evict:
            warnings.warn(f"the server at {self.address} {memory}", EvictionWarning, stacklevel=3)

    async def close(self) -> None:
        """Close all connections."""
        await self.connections.close()
        await self.subscriptions.close()
        await self.client.aclose()

    async def run(self, exchange: Exchange[T]) -> T:
        """Perform the requests of an exchange and return its result."""
        return await drive_async(exchange, self._send)

    async def run_subscribed(self, exchange: SubscribedExchange[T]) -> T:
        """Perform the requests of an exchange that subscribes to a channel, and return its result."""
        subscriptions: list[AsyncSubscription] = []

        async def perform(request: Commands | Call | Subscribe | NextMessage) -> Any:
            if isinstance(request, Commands | Call):
                return await self._send(request)
            if isinstance(request, NextMessage):
                return await subscriptions[0].next_message(request.timeout_seconds)
            subscription = AsyncSubscription(self.subscriptions, request.channel)
            subscriptions.append(await stack.enter_async_context(subscription))
            return checked_replies(await self.connections.execute(request.query))[0]

        async with AsyncExitStack() as stack:
            return await drive_async(exchange, perform)

    async def iterate(self, iteration: Iteration[T]) -> AsyncIterator[T]:
        """Perform the requests of an iteration and yield its items."""
        while (item := await drive_async(next_item(iteration), self._send)) is not None:
            yield item.value

    async def _send(self, request: Commands | Call) -> Any:
        if isinstance(request, Call):
            return await asyncio.to_thread(request.function)
        return await self.connections.execute(*request.commands, blocks_seconds=request.blocks_seconds)
