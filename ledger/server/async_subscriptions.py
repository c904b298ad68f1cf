"""Subscriptions of an asyncio client: all of them share one connection.

As in `ledger.server.subscriptions`, a message may get lost, so a waiter reads the record itself after it subscribed,
and at intervals after that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ledger.server.async_connections import AsyncConnections, SharedConnection
from ledger.server.pipelined_connection import PipelinedConnection

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis


class AsyncSubscriptions:
    """The subscriptions of one client on one event loop. A channel is subscribed once, for all its subscribers.

    `sharded`: the channels are those of a cluster.
    """

    def __init__(self, connections: AsyncConnections, *, sharded: bool) -> None:
        self._connections = connections
        self._kind = "S" if sharded else ""
        self._leaving: Counter[bytes] = Counter()
        self._shared = SharedConnection(connections, self._deliver, self._report_end)
        self._channels: dict[bytes, _Channel] = {}

    async def close(self) -> None:
        """Close the connection."""
        await self._shared.close()

    async def join(self, subscription: AsyncSubscription) -> None:
        """Subscribe to the channel, unless that was done before. Raises redis.RedisError after the usual retries."""
        channel = self._channels.setdefault(subscription.channel, _Channel())
        channel.subscriptions.add(subscription)

        async def attempt() -> None:
            connection = self._shared.current or await self._shared.connected()
            if channel.connection is not connection:
                channel.connection = connection
                channel.confirmation = connection.call(
                    ((f"{self._kind}SUBSCRIBE", subscription.channel),), self._connections.reply_seconds
                )
            [reply] = await asyncio.shield(channel.confirmation)
            if isinstance(reply, Exception):
                channel.connection = None
                raise reply

        await self._connections.with_retry(attempt, self._connections.reply_seconds)

    async def confirm(self) -> None:
        """Drop the connection if its server is not the primary any more; its subscribers learn of it."""
        if self._shared.current is not None:
            with suppress(redis.ConnectionError):
                await self._connections.confirm(self._shared.current)

    def leave(self, subscription: AsyncSubscription) -> None:
        """End a subscription; the last one of a channel unsubscribes from it."""
        channel = self._channels.get(subscription.channel)
        if channel is None:
            return
        channel.subscriptions.discard(subscription)
        if channel.subscriptions:
            return
        del self._channels[subscription.channel]
        if channel.connection is not None and not channel.connection.closed:
            self._leaving[subscription.channel] += 1
            channel.connection.send((f"{self._kind}UNSUBSCRIBE", subscription.channel))

    def _deliver(self, channel: bytes, content: bytes | None) -> None:
        if content is None:
            self._end_channel(channel)
            return
        known = self._channels.get(channel)
        for subscription in known.subscriptions if known is not None else ():
            subscription.messages.put_nowait(content)

    def _end_channel(self, channel: bytes) -> None:
        """Note the end of a subscription. If it was not asked for, the slot of all channels is on another node."""
        if self._leaving[channel] > 1:
            self._leaving[channel] -= 1
        elif not self._leaving.pop(channel, 0) and self._shared.current is not None:
            self._shared.current.drop()

    def _report_end(self) -> None:
        """Wake all subscribers of a connection that was cut: they subscribe again."""
        self._leaving.clear()
        for channel in self._channels.values():
            for subscription in channel.subscriptions:
                subscription.messages.put_nowait(None)


class _Channel:
    """A channel, its subscribers, and the connection on which it was subscribed."""

    def __init__(self) -> None:
        self.subscriptions: set[AsyncSubscription] = set()
        self.connection: PipelinedConnection | None = None
        self.confirmation: asyncio.Future[list[Any]]


class AsyncSubscription:
    """A subscription to a channel, for the duration of an `async with` block."""

    def __init__(self, subscriptions: AsyncSubscriptions, channel: str) -> None:
        self._subscriptions = subscriptions
        self.channel = channel.encode()
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __aenter__(self) -> AsyncSubscription:
        try:
            await self._subscriptions.join(self)
        except BaseException:
            self._subscriptions.leave(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._subscriptions.leave(self)

    async def next_message(self, timeout_seconds: float) -> bytes | None:
        """Return the next message; None after the timeout, or if messages may have been missed."""
        try:
            async with asyncio.timeout(timeout_seconds):
                message = await self.messages.get()
        except TimeoutError:
            await self._subscriptions.confirm()
            return None
        if message is None:
            await self._subscriptions.join(self)
        return message
