"""The connections of one asyncio client: one that all calls share, and others for commands that block.

A call has the time limits and retries of `ledger.server.connection_pool`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from ledger.contracts.failures import LedgerUnavailableError
from ledger.server.connection_pool import MAX_IDLE, MAX_THREADS, Command, latest_end, pause_before_retry
from ledger.server.pipelined_connection import OnMessage, PipelinedConnection

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

MAX_BLOCKING = MAX_THREADS
"""How many blocking commands (follow, durable) may run at once. Each has a connection of its own."""

CLOSED = "this client was closed: open another"

_Result = TypeVar("_Result")


class AsyncConnections:
    """Connections of one client on one event loop, opened when they are first used.

    `reply_seconds` is the time limit of one reply; a call ends after twice that time.
    """

    def __init__(self, client: Any, reply_seconds: float) -> None:
        self._pool = client.connection_pool
        self._resolver = self._pool.connection_kwargs.get("resolver")
        self._check: asyncio.Task[None] | None = None
        self.reply_seconds = reply_seconds
        make: Any = redis.Connection
        self._encoder = make()  # never connected: the blocking one encodes in C if `hiredis` is installed
        self._shared = SharedConnection(self)
        self._idle: list[PipelinedConnection] = []
        self._blocking: set[PipelinedConnection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def execute(self, *commands: Command, blocks_seconds: float = 0.0) -> list[Any]:
        """Run commands on one connection and return their replies; an error reply is returned, not raised.

        `blocks_seconds` is how long the commands themselves may block on the server.
        """
        self._check_loop()
        if blocks_seconds:
            reply_seconds = self.reply_seconds + blocks_seconds
            return await self.with_retry(lambda: self._execute_alone(commands, reply_seconds), reply_seconds)

        async def attempt() -> list[Any]:
            connection = self._shared.current or await self._shared.connected()
            return await self._call(connection, commands, self.reply_seconds)

        return await self.with_retry(attempt, self.reply_seconds)

    async def with_retry(self, attempt: Callable[[], Awaitable[_Result]], reply_seconds: float) -> _Result:
        """Run a function. If its connection was cut or is silent, run it again over a new one.

        The same applies if the server replies that it is no primary, or not ready: the address may lead to another
        server by now, which is waited for as long as the call may take, and so is any server of a Sentinel or cluster
        URL. Raises redis.RedisError after twice the time of a reply, or if the retries fail.
        """
        now_seconds = time.monotonic()
        latest_seconds = min(now_seconds + 2 * reply_seconds, latest_end())
        # The connection itself ends a call after `reply_seconds`; a timeout for each attempt would cost 10 us.
        bounded = latest_seconds < now_seconds + reply_seconds
        for number in count():
            try:
                return await (_by(latest_seconds, attempt) if bounded else attempt())
            except redis.RedisError as error:
                pause_seconds = pause_before_retry(error, number, waits=self._resolver is not None)
                if pause_seconds is None or latest_seconds - time.monotonic() - pause_seconds <= 0:
                    raise
            bounded = True
            await asyncio.sleep(pause_seconds)
        raise AssertionError("the loop ends by itself")

    async def confirm(self, connection: PipelinedConnection) -> None:
        """Drop a connection and raise redis.ConnectionError if its server is not the primary any more."""
        resolver = self._resolver
        if resolver is None or connection.closed:
            return
        if resolver.check_is_due:
            if self._check is None or self._check.done():  # one check for all calls
                check = asyncio.to_thread(resolver.check, self.reply_seconds)
                self._check = asyncio.get_running_loop().create_task(check)
            await asyncio.shield(self._check)
        if not resolver.is_primary(connection.node):
            connection.drop()
            raise redis.ConnectionError(f"{connection.node} is not the primary any more")

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        await self._shared.close()
        for connection in [*self._idle, *self._blocking]:
            await connection.close()
        self._idle.clear()

    def reopen(self) -> None:
        """Allow calls again after `close`."""
        self._closed = False

    async def opened(
        self, on_message: OnMessage | None = None, on_end: Callable[[], None] | None = None
    ) -> PipelinedConnection:
        """Return a new connection, connected. Raises redis.RedisError, and LedgerUnavailableError after `close`."""
        if self._closed:
            raise LedgerUnavailableError(CLOSED)
        raw = self._pool.connection_class(**self._pool.connection_kwargs)
        connection = PipelinedConnection(raw, self._encoder.pack_commands, on_message=on_message, on_end=on_end)
        await connection.open()
        if self._closed:  # meanwhile
            await connection.close()
            raise LedgerUnavailableError(CLOSED)
        return connection

    async def _execute_alone(self, commands: tuple[Command, ...], reply_seconds: float) -> list[Any]:
        """Run commands on a connection that no other call uses meanwhile."""
        if len(self._blocking) >= MAX_BLOCKING:
            raise LedgerUnavailableError(
                f"more than {MAX_BLOCKING} calls of this client follow outcomes or wait for the disk: open another"
            )
        connection = self._take_idle() or await self.opened()
        self._blocking.add(connection)
        try:
            replies = await self._call(connection, commands, reply_seconds)
        except BaseException:  # a cancelled call may still block the connection
            connection.drop()
            raise
        finally:
            self._blocking.discard(connection)
        if len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.drop()
        return replies

    def _call(
        self, connection: PipelinedConnection, commands: tuple[Command, ...], reply_seconds: float
    ) -> Awaitable[list[Any]]:
        if self._resolver is None:
            return connection.call(commands, reply_seconds)
        return self._confirmed_call(connection, commands, reply_seconds)

    async def _confirmed_call(
        self, connection: PipelinedConnection, commands: tuple[Command, ...], reply_seconds: float
    ) -> list[Any]:
        """Call the server of a connection if it is still the primary, before the call and after it."""
        await self.confirm(connection)
        replies = await connection.call(commands, reply_seconds)
        await self.confirm(connection)
        return replies

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None and self._loop.is_running():
            raise RuntimeError("an asyncio client serves one event loop: open another client for this one")
        self._loop = loop

    def _take_idle(self) -> PipelinedConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None


class SharedConnection:
    """A connection that its first call opens, and that the next call opens again after it was cut."""

    def __init__(
        self,
        connections: AsyncConnections,
        on_message: OnMessage | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._connections = connections
        self._handlers = (on_message, on_end)
        self._connection: PipelinedConnection | None = None
        self._opening: asyncio.Task[PipelinedConnection] | None = None

    @property
    def current(self) -> PipelinedConnection | None:
        """The open connection, if there is one."""
        return None if self._connection is None or self._connection.closed else self._connection

    async def connected(self) -> PipelinedConnection:
        """Return the connection, opened if needed. Raises redis.RedisError."""
        if self.current is not None:
            return self.current
        opening = self._opening
        if opening is None or opening.done():  # done: it was cancelled before it began
            opening = self._opening = asyncio.get_running_loop().create_task(self._open())
            opening.add_done_callback(_retrieve)
        await asyncio.wait([opening])  # one of its callers may be cancelled, the others not
        if opening.cancelled():
            raise LedgerUnavailableError(CLOSED)
        return opening.result()

    async def close(self) -> None:
        """Close the connection."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._connection is not None:
            await self._connection.close()

    async def _open(self) -> PipelinedConnection:
        try:
            self._connection = await self._connections.opened(*self._handlers)
            return self._connection
        finally:
            self._opening = None


async def _by(latest_seconds: float, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
    left_seconds = latest_seconds - time.monotonic()
    if left_seconds <= 0:
        raise redis.TimeoutError("no time is left for an answer")
    try:
        async with asyncio.timeout(left_seconds):
            return await attempt()
    except TimeoutError:
        raise redis.TimeoutError("no reply in time") from None


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take note of a task's error, so that asyncio does not report it: all its callers may have been cancelled."""
    if not task.cancelled():
        task.exception()
